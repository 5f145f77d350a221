"""Everything that decides a training, as settings that check themselves: model, corruption, losses, optimiser, length.

No torch here: stages that train nothing read these too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from mixste.settings.rules import (
    ODD,
    BelowOne,
    Count,
    Fraction,
    NotNegative,
    Positive,
    Problem,
    Rule,
    Settings,
    Share,
    at_least,
    one_of,
)

ARCHITECTURES = ("mixste", "pstmo", "stcformer", "stcformer_3dhp")  # `mixste.models` has a class for each


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """Architecture and size; depth, width and heads are the papers' L, C and H.

    A window is `frames` frames, each `step` after the one before. `output` is what is kept of a window when lifting:
    the whole sequence, or its centre frame, of one window for every frame.
    `part_weight` is STCFormer's weight of body parts, in the released weights.
    """

    architecture: Annotated[str, one_of(*ARCHITECTURES)]
    frames: Annotated[int, ODD]
    step: Count
    width: Count
    depth: Count
    heads: Count
    mlp_ratio: Positive
    dropout: BelowOne
    drop_path: BelowOne
    channels: Annotated[int, Rule("2 (x, y) or 3 (x, y, confidence)", lambda channels: channels in (2, 3))]
    output: Annotated[str, one_of("sequence", "centre")]
    part_weight: NotNegative = 1.0

    @property
    def span(self) -> int:
        """Frames from the first to the last of a window, both included."""
        return (self.frames - 1) * self.step + 1

    def problems(self) -> Iterator[Problem]:
        """Yield the sizes that do not fit together."""
        # STCFormer has half of the width for space and half for time, P-STMO's decoder has half the width.
        halves = self.architecture != "mixste"
        parts = 2 * self.heads if halves else self.heads
        if self.width % parts:
            yield Problem("width", self.width, f"a multiple of {'twice the ' if halves else ''}heads ({parts})")
        if self.architecture == "mixste" and self.dropout:
            yield Problem("dropout", self.dropout, "0: MixSTE has stochastic depth (drop_path) instead")
        if self.architecture != "mixste" and self.drop_path:
            yield Problem("drop_path", self.drop_path, f"0: {self.architecture} has dropout instead")
        if not self.architecture.startswith("stcformer") and self.part_weight != 1:
            yield Problem("part_weight", self.part_weight, f"1: {self.architecture} knows no body parts")
        if self.architecture == "pstmo" and self.output != "centre":
            yield Problem("output", self.output, "centre: P-STMO lifts the centre frame of a window")
        if self.output == "sequence" and self.step > 1:
            yield Problem("step", self.step, "1, or output centre: a window that skips frames cannot lift them all")


@dataclass(frozen=True, kw_only=True)
class CorruptionSettings(Settings):
    """How strongly exact keypoints are corrupted; noise 1 is the published detector, 0 none.

    `shared`: white noise and hidden frames are one draw for a whole batch, as in MotionBERT's code.
    """

    noise: NotNegative
    joint_mask: Share
    frame_mask: Share
    shared: bool = False


@dataclass(frozen=True, kw_only=True)
class MaskSettings(Settings):
    """P-STMO's masks: joints hidden in every frame, and the share of frames that is hidden whole.

    `last_joint` is whether the skeleton's last joint may be hidden as well: P-STMO's code leaves it out, its paper not.
    """

    joints: Annotated[int, at_least(0)]
    last_joint: bool
    frames: BelowOne


@dataclass(frozen=True, kw_only=True)
class LiftLoss(Settings):
    """Weights beside MPJPE in pre-training (MotionBERT: 0.5 and 20)."""

    n_mpjpe: NotNegative
    velocity: NotNegative


@dataclass(frozen=True, kw_only=True)
class SupervisedLoss(Settings):
    """MixSTE's loss: joints weighted or alike, weights of the TC-loss (0.5) and of the velocity error (2.0 as run).

    `squared` minimises half the loss's square, as MixSTE's code does: its gradient is multiplied by the loss.
    """

    weighted: bool
    temporal: NotNegative
    velocity: NotNegative
    squared: bool


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings(Settings):
    """Optimiser, how its rate rises (warmup: share of all steps) and falls, and the gradient's largest norm.

    Output layers begin at `output_share` of their usual weights and learn at that share of the rate: 0.001 trains a
    model that gives metres as one that gives millimetres.
    """

    name: Annotated[str, one_of("adamw", "adam")]
    lr: Positive
    weight_decay: NotNegative
    amsgrad: bool
    warmup: Share
    schedule: Annotated[str, one_of("cosine", "decay", "constant")]
    decay: Fraction
    clip: Positive | None
    output_share: Fraction


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """How long, how much at once and how: the part of pre-training and fine-tuning that is the same.

    `stride` is the frames from one of the windows that training draws from to the next; 1: a window for every frame.
    `place` is where windows of whole sequences lie: `inside`, the last one ending with its sequence, or `over` it, as
    many as cover it and sticking out as far on either side; models that keep the centre get windows around frames.
    `before` puts them, for either, half of `model.frames` before the frames that `stride` asks for: STCFormer's code.
    `flip` mirrors no windows, half of them (drawn at random), or shows each plain and mirrored, which doubles an epoch
    as the papers' code does. `keep` is the epoch whose weights are kept: the one that validates best, or the last.
    """

    optimiser: OptimiserSettings
    epochs: Count
    windows_per_epoch: Count | None
    batch_size: Count
    stride: Count
    place: Annotated[str, one_of("inside", "over", "before")]
    flip: Annotated[str, one_of("none", "half", "both")]
    keep: Annotated[str, one_of("best", "last")]
    validation_windows: Count


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a process carries out its steps, which changes what is learned by rounding and by what dropout draws.

    `accumulate` cuts its share of a batch into so many parts, one after the other. `compile` fuses a block's kernels.
    `recompute` computes a block's inside again in the backward pass, to the same numbers in less memory.
    """

    accumulate: int = 1
    compile: bool = False
    recompute: bool = False


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(TrainingSettings):
    """Pre-training on `views`: `lift` recovers 3D from corrupted keypoints, `mpm` the keypoints that masks hide."""

    objective: Annotated[str, one_of("lift", "mpm")]
    views: Annotated[str, one_of("random", "rig")]
    corruption: CorruptionSettings | None
    loss: LiftLoss | None
    masks: MaskSettings | None

    def problems(self) -> Iterator[Problem]:
        """Each objective has its own settings."""
        for key, owner in (("corruption", "lift"), ("loss", "lift"), ("masks", "mpm")):
            if (getattr(self, key) is not None) != (owner == self.objective):
                expected = f"its settings for objective {owner}" if owner == self.objective else "null"
                yield Problem(key, getattr(self, key), f"{expected}, because objective is {self.objective}")


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(TrainingSettings):
    """Training on labelled detections."""

    loss: SupervisedLoss
