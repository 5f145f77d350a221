"""Motions as files: npz, CSV and Parquet carry skeleton, fps, unit and frame, and come back as they were.

CSV and Parquet have one row a joint and frame: frame, time (seconds), joint, x, y, z. What the numbers are stands in
Parquet under the schema's key `mixste`, as JSON, and in CSV in lines `# key: value` before the header, so that
`pandas.read_csv(path, comment="#")` and `pandas.read_parquet(path)` read the rows.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixste.errors import MixsteError
from mixste.files.whole import whole_file
from mixste.skeleton import load_skeleton

if TYPE_CHECKING:
    import pyarrow as pa

    from mixste.motion import Motion

KEY = b"mixste"
COLUMNS = ("frame", "time", "joint", "x", "y", "z")
FACTS: dict[str, Callable[[str], Any]] = {"skeleton": str, "fps": float, "unit": str, "frame": str}
_MEND = "save the motion again"


def ffmpeg(path: Path) -> str:
    """Return the program that writes a video; MixsteError, for this file, if it is not installed."""
    found = shutil.which("ffmpeg")
    if found is None:
        mend = "install ffmpeg with your system's packages, or save a .gif or .html"
        raise MixsteError(f"cannot write {path}", found="no ffmpeg", expected="ffmpeg on the PATH", mend=mend)
    return found


def writer_of(path: Path) -> Callable[[Path, "Motion"], object]:
    """Return what writes a motion as this kind of file.

    MixsteError for an ending that is none of ENDINGS, and for .mp4 without ffmpeg.
    """
    if path.suffix.lower() not in ENDINGS:
        raise MixsteError(f"cannot save a motion as {path}", found=path.suffix or "no ending", expected=_list(ENDINGS))
    if path.suffix.lower() == ".mp4":
        ffmpeg(path)
    return ENDINGS[path.suffix.lower()]


def read_motion(path: Path) -> dict[str, Any]:
    """Return the values of the Motion that an .npz, .csv or .parquet file holds; MixsteError naming the file."""
    readers = {".npz": _read_npz, ".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise MixsteError(
            f"cannot load a motion from {path}", found=path.suffix or "no ending", expected=_list(readers)
        )
    if not path.is_file():
        raise MixsteError(f"cannot load {path}", found="no such file", expected="a motion that was saved")
    try:
        return readers[path.suffix.lower()](path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise MixsteError(f"cannot load {path}", found=found, expected="a motion that was saved", mend=_MEND) from error


def write_npz(path: Path, motion: "Motion") -> None:
    """Write `joints` (t j 3) and beside it joint_names, skeleton, fps, unit, frame, rooted and report."""
    names = np.array(load_skeleton(motion.skeleton).joints)
    values = {name: getattr(motion, name) for name in (*FACTS, "rooted")}
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, joints=motion.joints, joint_names=names, report=np.array(motion.report, dtype=str), **values)


def write_csv(path: Path, motion: "Motion") -> None:
    """Write the rows after lines `# key: value`: skeleton, fps, unit, frame, rooted, and a report line a sentence."""
    from pyarrow.csv import WriteOptions
    from pyarrow.csv import write_csv as write

    facts = _facts(motion)
    lines = [f"# {key}: {value}" for key, value in facts.items() if key != "report"]
    lines += [f"# report: {' '.join(sentence.split())}" for sentence in motion.report]
    head = "\n".join([*lines, ",".join(COLUMNS)]) + "\n"
    with whole_file(path) as partial, partial.open("wb") as file:
        file.write(head.encode())
        write(_rows(motion), file, WriteOptions(include_header=False, quoting_style="none"))


def write_parquet(path: Path, motion: "Motion") -> None:
    """Write the rows, x, y and z as float32, and under the schema's key `mixste` what they are, as JSON."""
    from pyarrow import parquet

    rows = _rows(motion).replace_schema_metadata({KEY: json.dumps(_facts(motion), sort_keys=True).encode()})
    with whole_file(path) as partial:
        parquet.write_table(rows, partial, compression="zstd")


def write_bvh(path: Path, motion: "Motion") -> None:
    """Write the fitted skeleton and its joint angles, metres, Y up."""
    from mixste.armature import write_armature

    write_armature(path, motion)


def write_html(path: Path, motion: "Motion") -> None:
    """Write the viewer: one file that needs no network."""
    from mixste.viewer import write_html as write

    write(path, motion)


def write_gif(path: Path, motion: "Motion") -> None:
    """Write an animation that loops."""
    from mixste.animation import write_gif as write

    write(path, motion)


def write_mp4(path: Path, motion: "Motion") -> None:
    """Write a video; MixsteError without ffmpeg."""
    from mixste.animation import write_mp4 as write

    write(path, motion)


ENDINGS: dict[str, Callable[[Path, "Motion"], object]] = {
    ".bvh": write_bvh,
    ".npz": write_npz,
    ".csv": write_csv,
    ".parquet": write_parquet,
    ".html": write_html,
    ".mp4": write_mp4,
    ".gif": write_gif,
}


def _list(endings: Any) -> str:
    return ", ".join(endings)


def _facts(motion: "Motion") -> dict[str, Any]:
    facts = {name: getattr(motion, name) for name in FACTS}
    return {**facts, "rooted": motion.rooted, "report": list(motion.report)}


def _rows(motion: "Motion") -> "pa.Table":
    import pyarrow as pa

    frames, count, _ = motion.joints.shape
    names = pa.array(load_skeleton(motion.skeleton).joints)
    joints = pa.array(np.tile(np.arange(count, dtype=np.int32), frames))
    frame = np.repeat(np.arange(frames, dtype=np.int64), count)
    x, y, z = (pa.array(np.ascontiguousarray(motion.joints[..., axis]).reshape(-1)) for axis in range(3))
    named = pa.DictionaryArray.from_arrays(joints, names)
    columns = [pa.array(frame), pa.array(np.round(frame / motion.fps, 6)), named, x, y, z]
    return pa.Table.from_arrays(columns, names=list(COLUMNS))


def _read_npz(path: Path) -> dict[str, Any]:
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as file:
            values = {name: kind(file[name].item()) for name, kind in FACTS.items()}
            report = tuple(map(str, file["report"].tolist()))
            return {"joints": file["joints"], **values, "rooted": bool(file["rooted"]), "report": report}
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


def _read_csv(path: Path) -> dict[str, Any]:
    from pyarrow import csv

    facts: dict[str, Any] = {"report": []}
    skipped = 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                break
            key, _, value = line[1:].strip().partition(": ")
            facts |= {"report": [*facts["report"], value]} if key == "report" else {key: value}
            skipped += 1
    facts["rooted"] = {"True": True, "False": False}[facts["rooted"]]
    return _from_rows(csv.read_csv(path, csv.ReadOptions(skip_rows=skipped)), facts)


def _read_parquet(path: Path) -> dict[str, Any]:
    from pyarrow import parquet

    rows = parquet.ParquetFile(path).read()
    return _from_rows(rows, json.loads((rows.schema.metadata or {})[KEY]))


def _from_rows(rows: "pa.Table", facts: dict[str, Any]) -> dict[str, Any]:
    """Return a Motion's values from rows in the order they were written in; ValueError if any is out of place."""
    values = {name: kind(facts[name]) for name, kind in FACTS.items()}
    names = load_skeleton(values["skeleton"]).joints
    frames, rest = divmod(rows.num_rows, len(names))
    frame = np.repeat(np.arange(frames), len(names))
    if rest or rows["joint"].to_pylist() != list(names) * frames or not np.array_equal(rows["frame"].to_numpy(), frame):
        raise ValueError(f"{rows.num_rows} rows that are not every frame's {len(names)} joints in their order")
    joints = np.stack([rows[axis].to_numpy().astype(np.float32) for axis in "xyz"], axis=-1)
    joints = joints.reshape(frames, len(names), 3)
    return {"joints": joints, **values, "rooted": facts["rooted"], "report": tuple(facts["report"])}
