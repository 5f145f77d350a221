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
    tables, metadata = [table for table, _ in read], [about for _, about in read]
    lengths = np.concatenate([np.diff([*np.flatnonzero(table["first"]), len(table["first"])]) for table in tables])
    clips, subjects, actions, cameras = (_names(tables, name) for name in ("clip", "subject", "action", "camera"))
    unit = _unit(metadata, paths)
    return Sequences(
        keypoints=_joined([table["keypoints"] for table in tables]),
        joints=_joined([table["joints"] for table in tables]),
        offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])),
        clips=clips,
        subjects=subjects,
        actions=actions,
        cameras=cameras,
        skeleton=skeleton,
        fps=fps,
        synthetic=any(about.synthetic for about in metadata),
        detections=", ".join(sorted({about.detections for about in metadata})),
        unit=unit,
        valid=_optional(tables, "valid", np.bool_(True)),
        scale=_optional(tables, "scale", np.float32(1) if unit == "m" else None),
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
    for column in table.keys() & {"keypoints", "joints", "scale"}:
        if not np.isfinite(table[column]).all():
            raise MixsteError(
                f"cannot train on {path}", found=f"{column} that are NaN or infinite", mend="run `dvc repro`"
            )
    change = (table["clip"][1:] != table["clip"][:-1]) | (table["camera"][1:] != table["camera"][:-1])
    table["first"] = np.concatenate([[True], change])
    return table, metadata


def _names(tables: Sequence[dict[str, np.ndarray]], column: str) -> tuple[str, ...]:
    return tuple(str(name) for table in tables for name in table[column][table["first"]])


def _joined(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays))


def _optional(
    tables: Sequence[dict[str, np.ndarray]], column: str, default: np.bool_ | np.float32 | None
) -> Tensor | None:
    """Join a column that some tables have, with `default` for the others; None if none has it."""
    having = [column in table for table in tables]
    if not any(having):
        return None
    if default is None and not all(having):
        found = f"{having.count(False)} of {len(having)} without the column {column}"
        raise MixsteError("cannot use these tables together", found=found, expected=f"{column} in all, or in none")
    return _joined([table.get(column, np.full(len(table["first"]), default)) for table in tables])


def _unit(metadata: Sequence[Metadata], paths: Sequence[Path]) -> str:
    units = {about.unit: path for about, path in zip(metadata, paths, strict=True)}
    if len(units) > 1:
        found = ", ".join(f"{unit} in {path.name}" for unit, path in units.items())
        raise MixsteError("cannot use these tables together", found=f"joints in {found}", expected="one unit")
    return next(iter(units))
