"""A tidy table of keypoints: a row a joint, with columns frame, person, joint, x, y, confidence.

`joint` is its index or its name in the layout; `person` only tells people of one frame apart, and may be left out where
there is one; so may `confidence`, which is 1 then. The schema holds JSON under the key `mixste`: kind "detections",
skeleton, frames, and fps and image_size where they are known.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixste.detections.cleaning import SPREAD
from mixste.detections.formats.arrays import metadata
from mixste.detections.formats.found import RECOPY, Found
from mixste.detections.layouts import LAYOUTS
from mixste.detections.people import Detections
from mixste.errors import MixsteError
from mixste.files.whole import whole_file
from mixste.skeleton import load_skeleton
from mixste.table import KEY

NEEDED = ("frame", "joint", "x", "y")


def write_detections(path: Path, detections: Detections) -> None:
    """Write such a table, which `read_detections` reads back; joints without confidence are left out of it."""
    counts = [len(people) for people in detections.frames]
    people = (
        np.concatenate([np.empty((0, 1, 3)), *detections.frames])
        if not sum(counts)
        else np.concatenate(detections.frames)
    )
    row, joint = np.nonzero(people[..., 2] > 0)
    frame = np.repeat(np.arange(len(counts)), counts)
    person = np.concatenate([np.arange(count) for count in counts]) if counts else frame
    columns = {
        "frame": frame[row].astype(np.int32),
        "person": person[row].astype(np.int32),
        "joint": joint.astype(np.int16),
    }
    columns |= {name: people[row, joint, axis].astype(np.float32) for axis, name in enumerate(("x", "y", "confidence"))}
    known = {"kind": "detections", "skeleton": detections.skeleton, "frames": len(counts)}
    known |= {"fps": detections.fps, "image_size": detections.image_size}
    with whole_file(path) as partial:
        pq.write_table(pa.table(columns).replace_schema_metadata({KEY: json.dumps(known)}), partial)


def read(path: Path, named: str | None) -> Found:
    """Return the people of such a table; MixsteError if it lacks a column or one cannot be what it says it is."""
    table = _read(path)
    known = _known(table, path)
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    layout = named or known["skeleton"]
    joint, count = _joint_indices(columns["joint"], layout, path)
    frame, person = (_whole(columns[name], name, path) for name in ("frame", "person"))
    (frames, _), people = np.unique(np.stack([frame, person]), axis=1, return_inverse=True)
    people = people.reshape(-1)
    if len(np.unique(people * count + joint)) < len(joint):
        found, mend = "a joint twice in one frame and person", "number the people of a frame in the column person"
        raise MixsteError(f"cannot read {path}", found=found, mend=mend)
    seen = np.zeros((len(frames), count, 3))
    for axis, name in enumerate(("x", "y", "confidence")):
        seen[people, joint, axis] = _numbers(columns[name], name, path)
    return Found("Parquet", seen, frames, _told(known.pop("frames"), frames, path), **known)


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        found = f"not a whole Parquet file ({str(error).splitlines()[0]})"
        raise MixsteError(f"cannot read {path}", found=found, mend=RECOPY) from error
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        found, expected = f"columns {', '.join(table.column_names)}", f"also {', '.join(missing)}"
        raise MixsteError(f"there are no keypoints in {path}", found=found, expected=expected)
    rows = table.num_rows
    for name, default in (("person", np.zeros(rows, np.int64)), ("confidence", np.ones(rows))):
        table = table if name in table.column_names else table.append_column(name, pa.array(default))
    return table.select([*NEEDED, "person", "confidence"])


def _known(table: pa.Table, path: Path) -> dict[str, Any]:
    try:
        values = json.loads((table.schema.metadata or {}).get(KEY, b"{}"))
    except ValueError as error:
        raise MixsteError(f"cannot read {path}", found=f"broken metadata ({error})", mend=RECOPY) from error
    if not isinstance(values, dict) or values.get("kind", "detections") != "detections":
        raise MixsteError(f"there are no keypoints in {path}", found=f"metadata {values}", expected="kind detections")
    return metadata(values, path) | {"frames": values.get("frames")}


def _told(count: Any, frames: np.ndarray, path: Path) -> np.ndarray:
    """Return the numbers of all frames: those there are, or if the metadata says how many, so many from 0 on."""
    if count is None:
        return np.unique(frames)
    whole = type(count) is int and count <= SPREAD * (len(frames) + 10)
    if not whole or not (frames.min(initial=0) >= 0 and frames.max(initial=-1) < count):
        span = f"{count!r} frames in the metadata, and frames {frames.min(initial=0)} to {frames.max(initial=0)}"
        mend = "number the frames from 0 on, or write the table without the metadata"
        raise MixsteError(f"cannot read {path}", found=span, expected="as many as there are", mend=mend)
    return np.arange(count)


def _joint_indices(values: np.ndarray, layout: str | None, path: Path) -> tuple[np.ndarray, int]:
    """Return the joints' indices and how many there are in the layout, which names tell where none is named."""
    if values.dtype.kind in "OU":
        return _named_joints([str(value) for value in values], layout, path)
    joint = _whole(values, "joint", path)
    count = len(load_skeleton(layout).joints) if layout else int(joint.max(initial=-1)) + 1
    if joint.min(initial=0) < 0 or joint.max(initial=0) >= count:
        raise MixsteError(f"cannot read {path}", found=f"joint {joint.max()}", expected=f"0 to {count - 1} of {layout}")
    return joint, count


def _named_joints(values: list[str], layout: str | None, path: Path) -> tuple[np.ndarray, int]:
    names = set(values)
    fitting = [layout] if layout else [each for each in LAYOUTS.values() if names == set(load_skeleton(each).joints)]
    if len(fitting) != 1 or not names <= set(load_skeleton(fitting[0]).joints):
        expected = f"the joints of {layout or ', '.join(LAYOUTS.values())}"
        raise MixsteError(
            f"cannot tell the layout of {path}", found=f"joints {', '.join(sorted(names))}", expected=expected
        )
    joints = load_skeleton(fitting[0]).joints
    index = {name: number for number, name in enumerate(joints)}
    return np.array([index[value] for value in values], dtype=np.int64), len(joints)


def _whole(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    numbers = _numbers(values, name, path)
    if not np.array_equal(numbers, np.round(numbers)):
        raise MixsteError(f"cannot read {path}", found=f"a column {name} of {values.dtype}", expected="whole numbers")
    return numbers.astype(np.int64)


def _numbers(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise MixsteError(
            f"cannot read {path}", found=f"a column {name} of {values.dtype}", expected="numbers"
        ) from error
