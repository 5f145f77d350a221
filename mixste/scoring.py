"""Scores of predictions by the field's protocols, every frame counted once, all in mm (MPJVE: mm a frame).

The prediction is compared as it is with root-relative truth, the root joint included, as MixSTE's authors do. Sequences
are one camera of one clip; velocities never cross from one sequence to the next. A group's score is the mean over its
frames; the action mean is the unweighted mean of the actions' scores.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixste.metrics import align_to_target, joint_errors, scale_to_target, velocity_errors
from mixste.sequences import Sequences

METRICS = ("mpjpe", "p_mpjpe", "n_mpjpe", "mpjve")
_MM = 1000.0
PIECE = re.compile(r"\.\d+$")  # of a trial that a defect cut: TRIAL, TRIAL.1, ...
_CHUNK = 1 << 15


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
    """Errors in mm, summed over the frames of each sequence: `totals (s 4)` by metric, `joint_totals (s j)`."""

    names: Names
    totals: np.ndarray
    frames: np.ndarray
    steps: np.ndarray
    joint_totals: np.ndarray

    @property
    def per_joint(self) -> np.ndarray:
        """MPJPE of each joint (j)."""
        return self.joint_totals.sum(axis=0) / max(1, self.frames.sum())

    def only(self, keep: Sequence[int]) -> "Scores":
        """The scores of some sequences, by number."""
        names = {name: tuple(getattr(self.names, name)[i] for i in keep) for name in ("clips", "subjects", "actions")}
        arrays = ("totals", "frames", "steps", "joint_totals")
        return Scores(Names(**names), **{array: getattr(self, array)[list(keep)] for array in arrays})

    def mean(self) -> dict[str, float]:
        """Mean of each metric over all frames (MPJVE: over all steps from frame to frame)."""
        counts = [self.frames.sum()] * 3 + [self.steps.sum()]
        sums = self.totals.sum(axis=0)
        return {
            metric: float(total / max(1, count)) for metric, total, count in zip(METRICS, sums, counts, strict=True)
        }

    def by(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Mean and frames of each group of sequences, where `names` gives the group of every sequence."""
        groups = {name: self.only([i for i, own in enumerate(names) if own == name]) for name in sorted(set(names))}
        return {name: {**own.mean(), "frames": int(own.frames.sum())} for name, own in groups.items()}

    def action_mean(self) -> dict[str, float]:
        """Unweighted mean over the actions."""
        actions = self.by(self.names.actions).values()
        return {metric: float(np.mean([action[metric] for action in actions])) for metric in METRICS}


def score(predicted: Tensor, sequences: Sequences) -> Scores:
    """Score predictions `n j 3` (metres, root-relative) of all frames of some sequences."""
    target = (sequences.joints - sequences.joints[:, :1]).double().cpu()
    predicted = predicted.double().cpu()
    errors = joint_errors(predicted, target)
    per_frame = torch.stack(
        [
            errors.mean(-1),
            _chunked(lambda p, t: joint_errors(align_to_target(p, t), t).mean(-1), predicted, target),
            joint_errors(scale_to_target(predicted, target), target).mean(-1),
            torch.cat([errors.new_zeros(1), velocity_errors(predicted, target).mean(-1)]),
        ],
        dim=-1,
    )
    offsets = sequences.offsets.cpu()
    per_frame[offsets[:-1], -1] = 0.0
    frames = np.diff(offsets.numpy())
    return Scores(
        names=Names(sequences.clips, sequences.subjects, sequences.actions),
        totals=_sums(per_frame, offsets),
        frames=frames,
        steps=frames - 1,
        joint_totals=_sums(errors, offsets),
    )


def _sums(values: Tensor, offsets: Tensor) -> np.ndarray:
    """Sums of `n c` over the frames of each sequence, in mm: `s c`."""
    running = torch.cat([values.new_zeros(1, values.shape[1]), values.cumsum(0)])
    return (running[offsets[1:]] - running[offsets[:-1]]).numpy() * _MM


def _chunked(function: Callable[[Tensor, Tensor], Tensor], predicted: Tensor, target: Tensor) -> Tensor:
    pairs = zip(predicted.split(_CHUNK), target.split(_CHUNK), strict=True)
    return torch.cat([function(p, t) for p, t in pairs])
