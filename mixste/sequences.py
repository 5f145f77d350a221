"""Keypoints and joints of many clips, on disk and in memory: what models are trained and scored on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixste.errors import MixsteError
from mixste.skeleton import load_skeleton
from mixste.table import Metadata, checked_metadata, read_runs, read_table

PER_FRAME = ("keypoints", "joints", "valid", "scale")
NAMES = ("clips", "subjects", "actions", "cameras")


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


@dataclass(frozen=True)
class SequenceTables:
    """Sequences in projection tables: what and how long each is; their frames are read when they are selected.

    `places` (s 3) says of each sequence in which table it is, its first row there, and its frames.
    """

    paths: tuple[Path, ...]
    metadata: tuple[Metadata, ...]
    places: np.ndarray
    clips: tuple[str, ...]
    subjects: tuple[str, ...]
    actions: tuple[str, ...]
    cameras: tuple[str, ...]
    skeleton: str
    fps: float

    def __len__(self) -> int:
        return len(self.clips)

    @cached_property
    def offsets(self) -> Tensor:
        """Where each sequence begins (s + 1,), as if all were read."""
        return torch.from_numpy(np.concatenate([[0], self.places[:, 2].cumsum()]))

    @property
    def frames(self) -> int:
        """Frames of all sequences together."""
        return int(self.places[:, 2].sum())

    def only(self, keep: Sequence[int]) -> "SequenceTables":
        """Some of these sequences, in this order."""
        names: dict[str, Any] = {name: tuple(getattr(self, name)[i] for i in keep) for name in NAMES}
        return replace(self, places=self.places[list(keep)], **names)

    def select(self, keep: Sequence[int]) -> Sequences:
        """Read some sequences, in the order that they stand in; MixsteError for values that are not finite."""
        chosen = self.only(sorted(keep))
        read = [
            _read(self.paths[table], self.skeleton, self.fps, [(first, first + rows) for _, first, rows in own])
            for table, own in groupby(chosen.places.tolist(), key=lambda place: place[0])
        ]
        return Sequences(
            keypoints=_joined([table["keypoints"] for table in read]),
            joints=_joined([table["joints"] for table in read]),
            offsets=chosen.offsets,
            **{name: getattr(chosen, name) for name in NAMES},
            skeleton=self.skeleton,
            fps=self.fps,
            synthetic=any(about.synthetic for about in self.metadata),
            detections=", ".join(sorted({about.detections for about in self.metadata})),
            unit=_unit(self.metadata, self.paths),
            valid=_optional(read, "valid", np.bool_(True)),
            scale=_optional(read, "scale", np.float32(1) if self.metadata[0].unit == "m" else None),
        )


def open_sequences(paths: Sequence[Path], *, skeleton: str, fps: float) -> SequenceTables:
    """Find the sequences of projection tables, one for each camera of each clip, without reading their frames.

    Raises MixsteError for no table, for one of another skeleton or fps, and for tables of different units.
    """
    if not paths:
        raise MixsteError(
            "nothing to read", found="no projection tables", mend="check data.split, then run `dvc repro`"
        )
    metadata = [checked_metadata(path, kind="projections", skeleton=skeleton, fps=fps) for path in paths]
    _unit(metadata, paths)
    runs = [read_runs(path, ("clip", "subject", "action", "camera")) for path in paths]
    places = [
        np.stack([np.full(len(edges) - 1, table), edges[:-1], np.diff(edges)], axis=1)
        for table, (edges, _) in enumerate(runs)
    ]
    names = {f"{name}s": tuple(text for _, texts in runs for text in texts[name]) for name in runs[0][1]}
    return SequenceTables(tuple(paths), tuple(metadata), np.concatenate(places), **names, skeleton=skeleton, fps=fps)


def read_sequences(paths: Sequence[Path], *, skeleton: str, fps: float) -> Sequences:
    """Read projection tables into memory; raises MixsteError as `open_sequences` and `SequenceTables.select` do."""
    tables = open_sequences(paths, skeleton=skeleton, fps=fps)
    return tables.select(range(len(tables)))


def choose_fraction(sequences: Sequences | SequenceTables, fraction: float, seed: int) -> list[int]:
    """Numbers of the sequences of whole clips, all cameras, drawn by seed until they hold `fraction` of the frames."""
    if fraction >= 1:
        return list(range(len(sequences)))
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
    return [i for i, clip in enumerate(owned) if clip in chosen]


def _read(path: Path, skeleton: str, fps: float, rows: Sequence[tuple[int, int]]) -> dict[str, np.ndarray]:
    table, _ = read_table(
        path, kind="projections", skeleton=skeleton, fps=fps, columns=("keypoints", "joints"), rows=rows
    )
    for column in table.keys() & {"keypoints", "joints", "scale"}:
        if not np.isfinite(table[column]).all():
            raise MixsteError(
                f"cannot train on {path}", found=f"{column} that are NaN or infinite", mend="run `dvc repro`"
            )
    return table


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
    return _joined([table.get(column, np.full(len(table["joints"]), default)) for table in tables])


def _unit(metadata: Sequence[Metadata], paths: Sequence[Path]) -> str:
    units = {about.unit: path for about, path in zip(metadata, paths, strict=True)}
    if len(units) > 1:
        found = ", ".join(f"{unit} in {path.name}" for unit, path in units.items())
        raise MixsteError("cannot use these tables together", found=f"joints in {found}", expected="one unit")
    return next(iter(units))
