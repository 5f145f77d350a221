"""Parquet tables whose schema says what the numbers are: skeleton, unit, frame, fps, source, licence.

Poses are `fixed_size_list<float32>` columns, strings are dictionary-encoded. `read_table` reads one whole,
`read_trials` trial by trial: memory holds a trial and a row group then, however many there are. `mixste.table_writer`
writes them in row groups of ROWS_PER_GROUP.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixste.errors import MixsteError

KEY = b"mixste"
ROWS_PER_GROUP = 1 << 16
_POSE = ("subject", "action", "frame", "joints")
COLUMNS = {"recordings": ("trial", *_POSE), "projections": ("clip", "camera", "keypoints", *_POSE)}
OPTIONAL = {"recordings": (), "projections": ("valid", "scale")}
FRAMES = {"recordings": "world, Z up", "projections": "camera, X right, Y down, Z forward"}
UNITS = {"recordings": ("m",), "projections": ("m", "screen")}


@dataclass(frozen=True)
class Metadata:
    """What the numbers of a table are; stored as JSON in the Parquet schema under the key `mixste`.

    `unit` is that of the joints: metres, or screen units where only their projection is known, depth on its scale.
    """

    kind: str
    skeleton: str
    unit: str
    frame: str
    fps: float
    source: str
    licence: str
    synthetic: bool
    detections: str = "none"
    screen: str = ""

    def __post_init__(self) -> None:
        if self.kind not in COLUMNS:
            raise MixsteError("a table of unknown kind", found=self.kind, expected=" or ".join(COLUMNS))


def read_table(
    path: Path,
    *,
    kind: str,
    skeleton: str,
    fps: float | None = None,
    unit: str | None = None,
    columns: Sequence[str] | None = None,
    rows: Sequence[tuple[int, int]] | None = None,
) -> tuple[dict[str, np.ndarray], Metadata]:
    """Read a table, or only some of its columns, as numpy arrays: (n j c) float32, str objects, numbers.

    Columns that the kind may have come along where they are. `rows` are the only ones to read: (first, end) each, one
    after the other. Raises MixsteError naming the file if it is not a whole Parquet file of this kind, of the frame and
    a unit that go with the kind, of this skeleton, unit and fps, if a column is missing, or if there are projections of
    nothing.
    """
    metadata = checked_metadata(path, kind=kind, skeleton=skeleton, fps=fps, unit=unit)
    needed, optional = COLUMNS[kind] if columns is None else columns, None if columns is None else OPTIONAL[kind]
    table = _read(path, needed, optional, rows)
    if kind == "projections" and not table.num_rows:
        raise MixsteError(f"cannot use {path}", found="no rows", expected="a frame at least", mend=_MEND)
    return _arrays(table), metadata


def read_runs(path: Path, columns: Sequence[str]) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Find where rows change in any of some text columns, holding no more than a row group of them in memory.

    Returns the runs' edges (r + 1,), the last being the number of rows, and of each column every run's text.
    """
    texts: dict[str, list[str]] = {name: [] for name in columns}
    edges, last, read = [], None, 0
    try:
        for batch in pq.ParquetFile(path).iter_batches(ROWS_PER_GROUP, columns=list(columns)):
            indices = np.stack([column.indices.to_numpy() for column in batch.columns])
            changes = np.flatnonzero((indices[:, 1:] != indices[:, :-1]).any(axis=0)) + 1
            for row in (0, *changes.tolist()) if batch.num_rows else ():
                own = [column[row].as_py() for column in batch.columns]
                if own != last:
                    edges.append(read + row)
                    for name, text in zip(columns, own, strict=True):
                        texts[name].append(text)
                last = own
            read += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    return np.array([*edges, read]), texts


def read_trials(path: Path, *, skeleton: str, fps: float) -> Iterator[dict[str, np.ndarray]]:
    """Yield all columns of each trial of a table of recordings, holding no more than that and a row group in memory.

    Raises MixsteError as `read_table` does.
    """
    checked_metadata(path, kind="recordings", skeleton=skeleton, fps=fps)
    parts: list[dict[str, np.ndarray]] = []
    for columns in _row_groups(path, COLUMNS["recordings"]):
        names = columns["trial"]
        edges = np.flatnonzero(names[1:] != names[:-1]) + 1
        for start, end in pairwise([0, *edges.tolist(), len(names)]):
            if parts and parts[0]["trial"][0] != names[start]:
                yield _joined(parts)
                parts = []
            parts.append({name: values[start:end] for name, values in columns.items()})
    if parts:
        yield _joined(parts)


def checked_metadata(
    path: Path, *, kind: str, skeleton: str, fps: float | None = None, unit: str | None = None
) -> Metadata:
    """Read what the numbers of a table are; MixsteError if it is of another kind, frame, skeleton, fps or unit."""
    metadata = read_metadata(path)
    expected: dict[str, tuple[object, ...]] = {"kind": (kind,), "skeleton": (skeleton,)}
    expected |= {"unit": UNITS[kind] if unit is None else (unit,), "frame": (FRAMES[kind],)}
    expected |= {} if fps is None else {"fps": (float(fps),)}
    for key, values in expected.items():
        if (found := getattr(metadata, key)) not in values:
            wanted = f"{key} {' or '.join(map(str, values))}"
            raise MixsteError(f"cannot use {path}", found=f"{key} {found}", expected=wanted, mend=_MEND)
    return metadata


def read_metadata(path: Path) -> Metadata:
    """Read what the numbers of a table are, without reading them; raises MixsteError as `read_table` does."""
    try:
        stored = (pq.read_schema(path).metadata or {}).get(KEY)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    if stored is None:
        raise MixsteError(
            f"cannot use {path}", found="a Parquet file without mixste metadata", expected=_EXPECTED, mend=_MEND
        )
    try:
        values = json.loads(stored)
    except ValueError as error:
        found = f"broken metadata ({error})"
        raise MixsteError(f"cannot use {path}", found=found, expected=_EXPECTED, mend=_MEND) from error
    if not _is_metadata(values):
        raise MixsteError(f"cannot use {path}", found=f"metadata {values}", expected=_EXPECTED, mend=_MEND)
    return Metadata(**values)


_EXPECTED = "a table written by `python -m pipelines.prepare` or `python -m pipelines.project`"
_MEND = "delete the file and run `dvc repro`"


def _is_metadata(values: object) -> bool:
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(Metadata)}:
        return False
    texts = all(isinstance(values[field.name], str) for field in fields(Metadata) if field.type is str)
    numbers = isinstance(values["fps"], int | float) and isinstance(values["synthetic"], bool)
    return texts and numbers and values["kind"] in COLUMNS


def _read(
    path: Path, needed: Sequence[str], optional: Sequence[str] | None, rows: Sequence[tuple[int, int]] | None
) -> pa.Table:
    """Return the needed columns and what there is of `optional`, None: all; MixsteError if a needed one is missing."""
    try:
        present = pq.read_schema(path).names
        _refuse_missing(path, needed, present)
        also = () if optional is None else [name for name in optional if name in present]
        columns = None if optional is None else [*needed, *also]
        if rows is not None:
            return _read_rows(pq.ParquetFile(path), columns, rows)
        return pq.read_table(path, columns=columns, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _row_groups(path: Path, needed: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
    """Yield the columns of one row group after the other, none without rows; MixsteError if a needed one is missing."""
    try:
        with pq.ParquetFile(path) as file:
            _refuse_missing(path, needed, file.schema_arrow.names)
            for number in range(file.num_row_groups):
                if file.metadata.row_group(number).num_rows:
                    yield _arrays(file.read_row_group(number))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _refuse_missing(path: Path, needed: Sequence[str], present: Sequence[str]) -> None:
    missing = [name for name in needed if name not in present]
    if missing:
        raise MixsteError(f"cannot use {path}", found=f"columns {present}", expected=f"also {missing}", mend=_MEND)


def _read_rows(file: pq.ParquetFile, columns: list[str] | None, rows: Sequence[tuple[int, int]]) -> pa.Table:
    """Rows in the order of the file, from the row groups that have any of them, one group at a time."""
    pieces, start = [], 0
    for number in range(file.num_row_groups):
        end = start + file.metadata.row_group(number).num_rows
        own = [(max(low, start) - start, min(high, end) - start) for low, high in rows if low < end and high > start]
        if own:
            group = file.read_row_group(number, columns=columns)
            pieces += [group.slice(low, high - low) for low, high in own]
        start = end
    return pa.concat_tables(pieces) if pieces else file.schema_arrow.empty_table().select(columns)


def _unreadable(path: Path, error: Exception) -> MixsteError:
    if isinstance(error, FileNotFoundError):
        return MixsteError(f"cannot read {path}", found="no such file", expected=_EXPECTED, mend="run `dvc repro`")
    reason = str(error).splitlines()[0]
    return MixsteError(
        f"cannot read {path}", found=f"not a whole Parquet file ({reason})", expected=_EXPECTED, mend=_MEND
    )


def _arrays(table: pa.Table) -> dict[str, np.ndarray]:
    return {name: _to_numpy(table.column(name), table.schema.field(name)) for name in table.column_names}


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _to_numpy(column: pa.ChunkedArray, field: pa.Field) -> np.ndarray:
    if pa.types.is_dictionary(field.type):
        return _strings(column)
    if not pa.types.is_fixed_size_list(field.type):
        return column.to_numpy()
    shape = json.loads((field.metadata or {}).get(b"shape", b"[-1]"))
    parts = [chunk.flatten().to_numpy(zero_copy_only=True).reshape(-1, *shape) for chunk in column.chunks]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty((0, *shape), np.float32)


def _strings(column: pa.ChunkedArray) -> np.ndarray:
    if len(column) == 0:
        return np.empty(0, dtype=object)
    whole = column.unify_dictionaries().combine_chunks()
    names = np.asarray(whole.dictionary.to_pylist(), dtype=object)
    return names[whole.indices.to_numpy()]
