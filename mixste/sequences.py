"""Keypoints and joints of many clips in memory: what models are trained and scored on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixste.errors import MixsteError
from mixste.skeleton import load_skeleton
from mixste.table import Metadata, read_table

PER_FRAME = ("keypoints", "joints", "valid", "scale")
NAMES = ("clips", "subjects", "actions", "cameras")
COLUMNS = ("clip", "subject", "action", "camera", "keypoints", "joints")


@dataclass(frozen=True)
class Sequences:
    """Every frame of a set of sequences, one after the other, and where each sequence begins.

    keypoints `n j 3`: x, y in screen units and confidence; joints `n j 3`: `unit`, camera axes, absolute; offsets
    (s + 1,): sequence i is frames offsets[i] to offsets[i+1]. One name of each kind per sequence. `synthetic` motion is
    generated; `detections` are exact, simulated, or the name of a real detector. Frames that are not `valid` (n,) are
    not scored; `scale` (n,) is metres per unit of joints where that changes from frame to frame.
    """

    keypoints: Tensor
    joints: Tensor
    offsets: Tensor
    clips: tuple[str, ...]
    subjects: tuple[str, ...]
    actions: tuple[str, ...]
    cameras: tuple[str, ...]
    skeleton: str
    fps: float
    synthetic: bool = False
    detections: str = "real"
    unit: str = "m"
    valid: Tensor | None = None
    scale: Tensor | None = None

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def origin(self) -> dict[str, Any]:
        """What results must say of these data."""
        return {"synthetic": self.synthetic, "detections": self.detections}

    @property
    def root(self) -> int:
        """The joint that poses are relative to."""
        return load_skeleton(self.skeleton).root

    @property
    def frames(self) -> int:
        """Frames of all sequences together."""
        return int(self.offsets[-1])

    def to(self, device: torch.device) -> "Sequences":
        """The same sequences with their arrays on a device."""
        moved = {name: value.to(device) for name, value in self.__dict__.items() if isinstance(value, Tensor)}
        return Sequences(**{**self.__dict__, **moved})

    def select(self, keep: Sequence[int]) -> "Sequences":
        """Only these sequences, in this order."""
        bounds = [(int(self.offsets[i]), int(self.offsets[i + 1])) for i in keep]
        frames = torch.cat([torch.arange(low, high) for low, high in bounds] or [torch.arange(0)])
        lengths = torch.tensor([0] + [high - low for low, high in bounds])
        names = {name: tuple(getattr(self, name)[i] for i in keep) for name in NAMES}
        arrays = {name: getattr(self, name) for name in PER_FRAME}
        chosen = {name: None if values is None else values[frames] for name, values in arrays.items()}
        return Sequences(**{**self.__dict__, **names, **chosen, "offsets": lengths.cumsum(0)})


def read_sequences(paths: Sequence[Path], *, skeleton: str, fps: float) -> Sequences:
    """Read projection tables into memory, one sequence for each camera of each clip.

    Raises MixsteError for a table of another skeleton or fps, or with values that are not finite.
    """
    if not paths:
        raise MixsteError(
            "nothing to read", found="no projection tables", mend="check data.split, then run `dvc repro`"
        )
    read = [_read(path, skeleton, fps) for path in paths]
    tables = [table for table, _ in read]
    starts = [np.flatnonzero(table["first"]) for table in tables]
    lengths = np.concatenate(
        [np.diff([*begin, len(table["first"])]) for begin, table in zip(starts, tables, strict=True)]
    )
    names = {
        f"{column}s": tuple(
            str(name) for table, begin in zip(tables, starts, strict=True) for name in table[column][begin]
        )
        for column in ("clip", "subject", "action", "camera")
    }
    return Sequences(
        keypoints=torch.from_numpy(np.concatenate([table["keypoints"] for table in tables])),
        joints=torch.from_numpy(np.concatenate([table["joints"] for table in tables])),
        offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])),
        skeleton=skeleton,
        fps=fps,
        synthetic=any(metadata.synthetic for _, metadata in read),
        detections=", ".join(sorted({metadata.detections for _, metadata in read})),
        **names,
    )


def choose_fraction(sequences: Sequences, fraction: float, seed: int) -> Sequences:
    """Whole clips, all their cameras, drawn by seed until they hold `fraction` of the frames."""
    if fraction >= 1:
        return sequences
    lengths = np.diff(sequences.offsets.numpy())
    owned = list(zip(sequences.subjects, sequences.clips, strict=True))
    clips = sorted(set(owned))
    chosen: set[tuple[str, str]] = set()
    held = 0
    by_clip = dict.fromkeys(clips, 0)
    for clip, length in zip(owned, lengths, strict=True):
        by_clip[clip] += int(length)
    for number in np.random.default_rng(seed).permutation(len(clips)):
        if held >= fraction * sequences.frames:
            break
        chosen.add(clips[number])
        held += by_clip[clips[number]]
    return sequences.select([i for i, clip in enumerate(owned) if clip in chosen])


def _read(path: Path, skeleton: str, fps: float) -> tuple[dict[str, np.ndarray], Metadata]:
    table, metadata = read_table(path, kind="projections", skeleton=skeleton, fps=fps, columns=COLUMNS)
    for column in ("keypoints", "joints"):
        if not np.isfinite(table[column]).all():
            raise MixsteError(
                f"cannot train on {path}", found=f"{column} that are NaN or infinite", mend="run `dvc repro`"
            )
    change = (table["clip"][1:] != table["clip"][:-1]) | (table["camera"][1:] != table["camera"][:-1])
    table["first"] = np.concatenate([[True], change])
    return table, metadata
