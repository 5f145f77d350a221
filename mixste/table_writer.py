"""Tables written piece by piece: memory holds a piece and a row group, however many rows there are.

Row groups of ROWS_PER_GROUP rows, each with its own dictionaries: equal rows are equal bytes, however cut into pieces.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixste import table
from mixste.errors import MixsteError
from mixste.files.whole import whole_file
from mixste.table import KEY, Metadata

Piece = Mapping[str, np.ndarray | Sequence[str]]


def write_table(path: Path, pieces: Iterable[Piece], metadata: Metadata) -> int:
    """Write pieces of columns, one below the other, as one Parquet file, whole or not at all; returns its rows.

    Arrays of (n j c) become fixed-size lists of j*c float32, strings are dictionary-encoded, numbers stay so; a text
    stands for as many rows as the piece has. Without a row there is no file. Raises MixsteError for a piece whose
    columns have unequal lengths, or are not those of the first piece.
    """
    rows = 0
    with ExitStack() as opened:
        writer = None
        for group in map(partial(_to_table, metadata), _groups(pieces, path)):
            if writer is None:
                writer = opened.enter_context(_writer(opened.enter_context(whole_file(Path(path))), group.schema))
            writer.write_table(group, table.ROWS_PER_GROUP)
            rows += group.num_rows
    if not rows:
        Path(path).unlink(missing_ok=True)
    return rows


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    strings = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    return pq.ParquetWriter(path, schema, use_dictionary=strings, compression="lz4", write_statistics=False)


def _groups(pieces: Iterable[Piece], path: Path) -> Iterator[list[Piece]]:
    """Yield row groups: parts of pieces that have ROWS_PER_GROUP rows together, fewer in the last group."""
    group: list[Piece] = []
    room = table.ROWS_PER_GROUP
    names: tuple[str, ...] = ()
    for piece in pieces:
        names = names or tuple(piece)
        columns, rows = _whole(piece, names, path)
        start = 0
        while start < rows:
            taken = min(room, rows - start)
            group.append({name: values[start : start + taken] for name, values in columns.items()})
            start, room = start + taken, room - taken
            if not room:
                yield group
                group, room = [], table.ROWS_PER_GROUP
    if group:
        yield group


def _whole(piece: Piece, names: tuple[str, ...], path: Path) -> tuple[dict[str, np.ndarray], int]:
    """Return a piece with an array for every column, and its rows; MixsteError if its columns do not fit."""
    lengths = {name: len(values) for name, values in piece.items() if not isinstance(values, str)}
    if len(set(lengths.values())) != 1:
        raise MixsteError(f"cannot write {path}", found=f"columns of lengths {lengths}", expected="one length")
    if tuple(piece) != names:
        raise MixsteError(f"cannot write {path}", found=f"columns {list(piece)}", expected=f"columns {list(names)}")
    rows = next(iter(lengths.values()))
    return {name: _array(values, rows) for name, values in piece.items()}, rows


def _array(values: np.ndarray | Sequence[str], rows: int) -> np.ndarray:
    if isinstance(values, str):
        return np.full(rows, values, dtype=object)
    return values if isinstance(values, np.ndarray) else np.array(values, dtype=object)


def _to_table(metadata: Metadata, group: list[Piece]) -> pa.Table:
    columns = {name: np.concatenate([piece[name] for piece in group]) for name in group[0]}
    arrays = {name: _to_arrow(values) for name, values in columns.items()}
    fields = [_field(name, array, columns[name].shape) for name, array in arrays.items()]
    schema = pa.schema(fields, metadata={KEY: json.dumps(asdict(metadata), sort_keys=True).encode()})
    return pa.Table.from_arrays(list(arrays.values()), schema=schema)


def _to_arrow(array: np.ndarray) -> pa.Array:
    if array.dtype.kind in "UO":
        return pa.array(array.astype(object), type=pa.string()).dictionary_encode()
    if array.ndim == 1:
        return pa.array(array)
    flat = np.ascontiguousarray(array, dtype=np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=_list_type(array.shape))


def _list_type(shape: tuple[int, ...]) -> pa.DataType:
    return pa.list_(pa.field("element", pa.float32(), nullable=False), int(np.prod(shape[1:])))


def _field(name: str, array: pa.Array, shape: tuple[int, ...]) -> pa.Field:
    metadata: dict[Any, Any] | None = {"shape": json.dumps(shape[1:])} if len(shape) > 1 else None
    return pa.field(name, array.type, nullable=False, metadata=metadata)
