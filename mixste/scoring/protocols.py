"""How each data set sums up its scores, and how the papers' own code does, which is not always the same.

As published, MixSTE's frames lie in chunks: whole windows one after the other, the last one moved back to the end of
the sequence, so that the frames it shares with its neighbour count twice; a shorter sequence is filled up with its last
frame, which counts, too. Velocities are taken across the borders of chunks. P-STMO and STCFormer lift the centre frame
of a window around each frame and set the root to zero. P-STMO's averaging of P-MPJPE over batches of several actions is
not imitated, nor is STCFormer's of two models at T = 81 and 243. On MotionBERT's own data its authors leave out what
`motionberts_clips` does, and set a root-relative model's root to zero; that they subtract it afterwards moves nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from mixste.errors import MixsteError
from mixste.scoring.scores import Names, Scores, Scoring
from mixste.sequences import PER_FRAME, Sequences
from mixste.windows import cut

RULES = 1  # raised when the same predictions come to other scores: those before and after are not compared

# The first 14 joints of mpi17, by name: its trunk's other three are not among them.
_SIDES = tuple(f"{side}_{joint}" for side in "rl" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
NEAR_JOINTS = ("head", "thorax", *_SIDES)

_HUMANEVA_SUBJECT = re.compile(r"S\d+$")
_HUMANEVA_ACTION = re.compile(r"Walk|Jog")
_MOTIONBERT_FRAMES = 243
MOTIONBERT_BLOCKED = ("s_09_act_05_subact_02", "s_09_act_10_subact_02", "s_09_act_13_subact_01")


def actions(names: Names) -> tuple[str, ...]:
    """The action of each sequence."""
    return names.actions


def subjects(names: Names) -> tuple[str, ...]:
    """The subject of each sequence; of MPI-INF-3DHP's test set these are its six sequences."""
    return names.subjects


def walks_and_jogs(names: Names) -> tuple[str | None, ...]:
    """HumanEva's `S1 Walk`, `S1 Jog`, ...; None for any other action."""
    found = [_HUMANEVA_ACTION.match(action) for action in names.actions]
    people = [match[0] if (match := _HUMANEVA_SUBJECT.search(name)) else name for name in names.subjects]
    return tuple(f"{who} {match[0]}" if match else None for who, match in zip(people, found, strict=True))


@dataclass(frozen=True)
class Protocol:
    """What is scored and averaged: `group` names each sequence's group (None: not scored), `key` what groups are.

    `headline` is the metric that papers compare by. The mean is over all frames (`weighted`) or over groups.
    """

    headline: str
    key: str
    group: Callable[[Names], tuple[str | None, ...]]
    weighted: bool = False
    scoring: Scoring = field(default_factory=Scoring)


PROTOCOLS = {
    "h36m": Protocol("mpjpe", "action", actions),
    "mpi_inf_3dhp": Protocol(
        "mpjpe", "sequence", subjects, weighted=True, scoring=Scoring(zero_root=True, near=NEAR_JOINTS)
    ),
    "humaneva": Protocol("p_mpjpe", "subject_action", walks_and_jogs),
}


@dataclass(frozen=True)
class AsPublished:
    """What a paper's own code scores: frames in chunks or every frame once, its root, its mean of velocities."""

    chunks: bool
    zero_root: bool

    @property
    def text(self) -> str:
        """The same in words, for whoever reads the scores."""
        chunks = "chunks: overlap and padding count, velocities cross borders"
        frames = chunks if self.chunks else "centre frame of a window around every frame"
        return f"{frames}, {'root at zero' if self.zero_root else 'predicted root'}"


_CENTRE = AsPublished(chunks=False, zero_root=True)
AS_PUBLISHED = {
    "mixste": AsPublished(chunks=True, zero_root=False),
    "pstmo": _CENTRE,
    "stcformer": _CENTRE,
    "stcformer_3dhp": _CENTRE,
}


def as_published(architecture: str, protocol: Protocol, data: str = "") -> AsPublished:
    """What the code of an architecture's paper scores on `data`, a format of `mixste.datasets`.

    Where the protocol or the code of the data's authors sets the root to zero, so does every code.
    """
    own = AS_PUBLISHED[architecture]
    return replace(own, zero_root=own.zero_root or protocol.scoring.zero_root or data == "motionbert")


def scoring_as_published(protocol: Protocol, published: AsPublished) -> Scoring:
    """The protocol's scoring as a paper's code does it."""
    return replace(protocol.scoring, zero_root=published.zero_root, by_frames=published.chunks)


def in_chunks(sequences: Sequences, frames: int) -> Sequences:
    """The sequences with their frames repeated as windows of `frames` frames, side by side, hold them."""
    windows = cut(sequences.offsets, frames, frames)
    index = windows.index(torch.arange(len(windows), device=windows.starts.device)).flatten()
    owner = torch.searchsorted(sequences.offsets, windows.starts, right=True) - 1
    return _at(sequences, index, frames * torch.bincount(owner, minlength=len(sequences)))


def motionberts_clips(sequences: Sequences) -> Sequences:
    """What MotionBERT's authors score of their file: whole clips of 243 frames, and not the three videos they block.

    A video shorter than a clip, which they stretch at random, is kept as it is.
    """
    kept = sequences.select([n for n, clip in enumerate(sequences.clips) if clip not in MOTIONBERT_BLOCKED])
    lengths = kept.offsets.diff()
    whole = torch.where(lengths < _MOTIONBERT_FRAMES, lengths, lengths - lengths % _MOTIONBERT_FRAMES)
    starts = zip(kept.offsets[:-1].tolist(), whole.tolist(), strict=True)
    return _at(kept, torch.cat([torch.arange(low, low + length) for low, length in starts]), whole)


def _at(sequences: Sequences, index: Tensor, lengths: Tensor) -> Sequences:
    """The frames `index` of some sequences, so many of each."""
    arrays = {name: getattr(sequences, name) for name in PER_FRAME}
    chosen: dict[str, Any] = {name: None if values is None else values[index] for name, values in arrays.items()}
    return replace(sequences, **chosen, offsets=torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))


def summary(scores: Scores, protocol: Protocol, apart: Sequence[str] = ()) -> dict[str, Any]:
    """The protocol's `mean`, the means over frames and over groups, each group, action, subject, clip and joint.

    Trials that are scored `apart` (`SUBJECT/TRIAL`) are in none of them. Raises MixsteError for one that is not there,
    or if nothing is left to score.
    """
    trials = scores.names.trials
    unknown = sorted(set(apart) - set(trials))
    if unknown:
        raise MixsteError(
            "no such test trials",
            found=", ".join(unknown),
            expected="SUBJECT/TRIAL of test subjects, as 02/02_01",
            mend="correct data.split.apart",
        )
    groups = protocol.group(scores.names)
    kept = [n for n, trial in enumerate(trials) if trial not in apart and groups[n] and scores.frames[n]]
    if not kept:
        raise MixsteError("nothing to score", found=f"no {protocol.key} of this protocol", mend="check data.protocol")
    main, own = scores.only(kept), scores.by(trials)
    by_group = main.by([str(groups[number]) for number in kept])
    frame_mean = main.mean()
    group_mean = {name: sum(values[name] for values in by_group.values()) / len(by_group) for name in scores.metrics}
    return {
        "mean": {**(frame_mean if protocol.weighted else group_mean), "frames": int(main.frames.sum())},
        "frame_mean": frame_mean,
        "group_mean": group_mean,
        "groups": by_group,
        "actions": main.by(actions(main.names)),
        "subjects": main.by(main.names.subjects),
        "clips": _by_clip(main, [str(groups[number]) for number in kept], by_group, protocol),
        "apart": {trial: own[trial] for trial in apart},
        "per_joint": main.per_joint,
    }


def _by_clip(
    scores: Scores, groups: Sequence[str], by_group: Mapping[str, Mapping[str, float]], protocol: Protocol
) -> list[dict[str, Any]]:
    """Each motion's means over all its cameras and pieces, and the weight that it has in the protocol's mean."""
    pairs = list(zip(groups, scores.names.trials, strict=True))
    rows = []
    for pair in sorted(set(pairs)):
        own = scores.only([number for number, other in enumerate(pairs) if other == pair])
        frames = int(own.frames.sum())
        of_group = by_group[pair[0]]["frames"] * len(by_group)
        weight = frames / (scores.frames.sum() if protocol.weighted else of_group)
        rows.append({"group": pair[0], "clip": pair[1], "weight": float(weight), **own.mean(), "frames": frames})
    return rows
