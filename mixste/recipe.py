"""Everything that decides a training, as settings that check themselves: model, corruption, losses, optimiser, length.

No torch here: stages that train nothing read these too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from mixste.settings import (
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
    one_of,
)

ARCHITECTURES = ("mixste",)  # `mixste.models` has a class for each


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """Architecture and size; depth, width and heads are the papers' L, C and H."""

    architecture: Annotated[str, one_of(*ARCHITECTURES)]
    frames: Annotated[int, ODD]
    width: Count
    depth: Count
    heads: Count
    mlp_ratio: Positive
    drop_path: BelowOne
    channels: Annotated[int, Rule("2 (x, y) or 3 (x, y, confidence)", lambda channels: channels in (2, 3))]

    def problems(self) -> Iterator[Problem]:
        """Yield the sizes that do not fit together."""
        if self.width % self.heads:
            yield Problem("width", self.width, f"a multiple of heads ({self.heads})")


@dataclass(frozen=True, kw_only=True)
class CorruptionSettings(Settings):
    """How strongly exact keypoints are corrupted; noise 1 is the published detector, 0 none."""

    noise: NotNegative
    joint_mask: Share
    frame_mask: Share


@dataclass(frozen=True, kw_only=True)
class LiftLoss(Settings):
    """Weights beside MPJPE in pre-training (MotionBERT: 0.5 and 20)."""

    n_mpjpe: NotNegative
    velocity: NotNegative


@dataclass(frozen=True, kw_only=True)
class SupervisedLoss(Settings):
    """MixSTE's loss: joints weighted or alike, weights of the TC-loss (0.5) and of the velocity error (2.0 as run)."""

    weighted: bool
    temporal: NotNegative
    velocity: NotNegative


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings(Settings):
    """Optimiser, how its rate rises (warmup: share of all steps) and falls, and the gradient's largest norm."""

    name: Annotated[str, one_of("adamw", "adam")]
    lr: Positive
    weight_decay: NotNegative
    amsgrad: bool
    warmup: Share
    schedule: Annotated[str, one_of("cosine", "decay", "constant")]
    decay: Fraction
    clip: Positive | None


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """How long, how much at once and how: the part of pre-training and fine-tuning that is the same.

    `stride` is the step between the windows that training draws from, as a share of a window.
    """

    optimiser: OptimiserSettings
    epochs: Count
    windows_per_epoch: Count | None
    batch_size: Count
    stride: Fraction
    flip: bool
    validation_windows: Count


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(TrainingSettings):
    """Pre-training: recover 3D from corrupted exact projections."""

    corruption: CorruptionSettings
    loss: LiftLoss


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(TrainingSettings):
    """Training on labelled detections."""

    loss: SupervisedLoss
