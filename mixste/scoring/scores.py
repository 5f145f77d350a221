"""Scores of predictions, every valid frame counted once, all in mm (MPJVE: mm a frame; PCK and AUC: percent).

Predictions are compared with root-relative truth. Sequences are one camera of one clip; velocities never cross from one
sequence to the next. A group's score is the mean over its frames. What a data set averages is for `protocols` to say.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixste.errors import MixsteError
from mixste.metrics import align_to_target, auc, joint_errors, pck, scale_to_target, velocity_errors
from mixste.sequences import Sequences
from mixste.skeleton import load_skeleton

ERRORS = ("mpjpe", "p_mpjpe", "n_mpjpe", "mpjve")
NEAR = ("pck", "auc")
PIECE = re.compile(r"\.\d+$")  # of a trial that a defect cut: TRIAL, TRIAL.1, ...
_PCK_MM, _AUC_MM = 150.0, tuple(range(0, 151, 5))
_CHUNK = 1 << 15


@dataclass(frozen=True)
class Scoring:
    """What is compared: the root as predicted or as zero, PCK and AUC over the joints `near` (none: without them).

    MPJVE is the mean over all steps, or `by_frames`: over sequences, weighted by their frames.
    """

    zero_root: bool = False
    near: tuple[str, ...] = ()
    by_frames: bool = False


@dataclass(frozen=True)
class Names:
    """Whose and what each scored sequence is."""

    clips: tuple[str, ...]
    subjects: tuple[str, ...]
    actions: tuple[str, ...]

    @property
    def trials(self) -> tuple[str, ...]:
        """The trial that each clip was cut from, as SUBJECT/TRIAL, whatever piece of it a defect left."""
        trials = (PIECE.sub("", clip.rsplit("/", 1)[0]) for clip in self.clips)
        return tuple(f"{subject}/{trial}" for subject, trial in zip(self.subjects, trials, strict=True))


@dataclass(frozen=True)
class Scores:
    """Sums of each metric over the frames (MPJVE: steps) of each sequence, `totals (s m)`.

    `counts (s m)` is how many frames or steps; `joint_totals (s j)` are the sums of each joint's errors, mm.
    """

    names: Names
    metrics: tuple[str, ...]
    totals: np.ndarray
    counts: np.ndarray
    joint_totals: np.ndarray

    @property
    def frames(self) -> np.ndarray:
        """Frames scored of each sequence (s)."""
        return self.counts[:, 0]

    @property
    def per_joint(self) -> np.ndarray:
        """MPJPE of each joint (j)."""
        return self.joint_totals.sum(axis=0) / max(1, self.frames.sum())

    def only(self, keep: Sequence[int]) -> "Scores":
        """The scores of some sequences, by number."""
        names = {name: tuple(getattr(self.names, name)[i] for i in keep) for name in ("clips", "subjects", "actions")}
        arrays = {name: getattr(self, name)[list(keep)] for name in ("totals", "counts", "joint_totals")}
        return Scores(Names(**names), self.metrics, **arrays)

    def mean(self) -> dict[str, float]:
        """Mean of each metric over all frames (MPJVE: over all steps from frame to frame)."""
        means = self.totals.sum(axis=0) / np.maximum(1, self.counts.sum(axis=0))
        return dict(zip(self.metrics, means.tolist(), strict=True))

    def by(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Mean and frames of each group of sequences, where `names` gives the group of every sequence."""
        groups = {name: self.only([i for i, own in enumerate(names) if own == name]) for name in sorted(set(names))}
        return {name: {**own.mean(), "frames": int(own.frames.sum())} for name, own in groups.items()}


def score(predicted: Tensor, sequences: Sequences, scoring: Scoring | None = None) -> Scores:
    """Score predictions `n j 3` (the sequences' unit, root-relative) of all frames of some sequences.

    Raises MixsteError for joints without a scale to mm, and for predictions that are not finite.
    """
    scoring = scoring or Scoring()
    offsets = sequences.offsets.cpu()
    predicted, target = _poses(predicted, sequences, zero_root=scoring.zero_root)
    errors = joint_errors(predicted, target)
    steps = velocity_errors(predicted, target).mean(-1)
    per_frame = {
        "mpjpe": errors.mean(-1),
        "p_mpjpe": _chunked(lambda p, t: joint_errors(align_to_target(p, t), t).mean(-1), predicted, target),
        "n_mpjpe": joint_errors(scale_to_target(predicted, target), target).mean(-1),
        "mpjve": torch.cat([steps.new_zeros(1), steps]),
        **_near(errors, sequences.skeleton, scoring.near),
    }
    valid = torch.ones(len(errors), dtype=torch.bool) if sequences.valid is None else sequences.valid.cpu()
    follows = valid & valid.roll(1)
    follows[offsets[:-1]] = False
    counted = torch.stack([follows if name == "mpjve" else valid for name in per_frame], dim=-1)
    totals, counts = _sums(torch.stack([*per_frame.values()], -1) * counted, offsets), _sums(counted.double(), offsets)
    if scoring.by_frames:
        _weigh_by_frames(totals, counts, [*per_frame].index("mpjve"))
    return Scores(
        names=Names(sequences.clips, sequences.subjects, sequences.actions),
        metrics=tuple(per_frame),
        totals=totals,
        counts=counts,
        joint_totals=_sums(errors * valid[:, None], offsets),
    )


def _poses(predicted: Tensor, sequences: Sequences, *, zero_root: bool) -> tuple[Tensor, Tensor]:
    """Prediction and root-relative truth in mm, on the CPU."""
    if not predicted.isfinite().all():
        raise MixsteError("cannot score these predictions", found="NaN or infinity", mend="train the model again")
    if sequences.unit != "m" and sequences.scale is None:
        raise MixsteError("cannot score in mm", found=f"joints in {sequences.unit}", expected="metres, or their scale")
    scale = 1.0 if sequences.scale is None else sequences.scale.double().cpu()[:, None, None]
    root = sequences.root
    target = (sequences.joints - sequences.joints[:, root : root + 1]).double().cpu() * scale * 1000
    predicted = predicted.double().cpu() * scale * 1000
    if zero_root:
        predicted[:, root] = 0
    return predicted, target


def _near(errors: Tensor, skeleton: str, names: Sequence[str]) -> dict[str, Tensor]:
    """PCK and AUC of every frame in percent, over the named joints."""
    if not names:
        return {}
    near = errors[:, [load_skeleton(skeleton).index(name) for name in names]]
    return {"pck": 100 * pck(near, _PCK_MM), "auc": 100 * auc(near, _AUC_MM)}


def _sums(values: Tensor, offsets: Tensor) -> np.ndarray:
    """Sums of `n c` over the frames of each sequence: `s c`."""
    running = torch.cat([values.new_zeros(1, values.shape[1]), values.cumsum(0)])
    sums: np.ndarray = (running[offsets[1:]] - running[offsets[:-1]]).numpy()
    return sums


def _weigh_by_frames(totals: np.ndarray, counts: np.ndarray, column: int) -> None:
    """Let each sequence's mean over its steps count as often as the sequence has frames, in place."""
    steps = counts[:, column].copy()
    counts[:, column] = np.where(steps > 0, counts[:, 0], 0)
    totals[:, column] *= counts[:, column] / np.maximum(1, steps)


def _chunked(function: Callable[[Tensor, Tensor], Tensor], predicted: Tensor, target: Tensor) -> Tensor:
    pairs = zip(predicted.split(_CHUNK), target.split(_CHUNK), strict=True)
    return torch.cat([function(p, t) for p, t in pairs])
