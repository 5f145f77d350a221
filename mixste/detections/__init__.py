"""2D keypoints of any detector: `read_detections(path)`, and `tracks(detections)`, people followed through the frames.

A format is recognised by what is in the file, never by its name; a reader of JSON returns None for another's document.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mixste.detections import arrays, mmpose, openpose, results
from mixste.detections.arrays import metadata
from mixste.detections.cleaning import cleaned, ordered
from mixste.detections.found import Found
from mixste.detections.jsons import read_json
from mixste.detections.layouts import layout_of, likelier
from mixste.detections.people import Detections, Track
from mixste.detections.tracking import tracks
from mixste.errors import MixsteError
from mixste.skeleton import load_skeleton

__all__ = ["FORMATS", "Detections", "Track", "read_detections", "tracks"]

FORMATS = (
    "OpenPose (a folder of JSON files, one a frame, or one of them)",
    "AlphaPose and Halpe results JSON (also --format open and cmu)",
    "COCO results JSON",
    "MMPose JSON (inferencer or demo)",
    "JSON or npz with keypoints (t j c) or (t p j c) and scores, as saved around rtmlib; npy",
    "Parquet with columns frame, person, joint, x, y, confidence",
)
SOME = 256  # people who tell the layout
_JSON: tuple[Callable[[Any, Path], Found | None], ...] = (results.read, openpose.read, mmpose.read, arrays.read)


def read_detections(
    path: str | Path,
    *,
    skeleton: str | None = None,
    image_size: tuple[int, int] | None = None,
    fps: float | None = None,
) -> Detections:
    """Read a file or folder of 2D keypoints in pixels, in any of FORMATS; its `report` says what was recognised.

    `skeleton`, `image_size` (width, height) and `fps` are given where the file does not tell, or is wrong. MixsteError
    if the file is none of them or damaged, its joints do not fit the layout, or nobody is in it.
    """
    path, given = Path(path), metadata({"skeleton": skeleton, "image_size": image_size, "fps": fps}, Path(path))
    found = _read(path, skeleton)
    source = f"{path} ({found.format})"
    if not len(found.frames) or not len(found.people):
        raise MixsteError(f"nobody was detected in {source}", found=f"{len(found.frames)} frames without people")
    layout, on_layout = layout_of(found.people.shape[1], skeleton or found.skeleton, source)
    people, numbers, total, on_order = ordered(found, source)
    people, repairs = cleaned(people[:, : len(load_skeleton(layout).joints)], source)
    present = (people[..., 2] > 0).any(axis=1)
    people, numbers = people[present], numbers[present]
    if skeleton is None and found.skeleton is None and (other := likelier(people[:: -(-len(people) // SOME)], layout)):
        layout, on_layout = other, f"read as {other} and not as {layout}, whose bones would be far longer"
    size = given["image_size"] or found.image_size
    said = (f"{found.format}: {total} frames, {_each(numbers, total)}", on_layout, *found.report, *on_order, *repairs)
    edges = np.searchsorted(numbers, np.arange(1, total))
    frames = tuple(np.split(people, edges))
    return Detections(frames, layout, found.format, size, given["fps"] or found.fps, said)


def _each(numbers: np.ndarray, total: int) -> str:
    counts = np.bincount(numbers, minlength=total)
    least, most = int(counts.min()), int(counts.max())
    return (
        f"{least} to {most} people in each" if least < most else f"{most} {'person' if most == 1 else 'people'} in each"
    )


def _read(path: Path, skeleton: str | None) -> Found:
    if path.is_dir():
        return openpose.read_folder(path)
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise MixsteError(
            f"cannot read {path}", found=error.strerror, expected="a file or folder of keypoints"
        ) from error
    if head.startswith(b"PK\x03\x04"):
        return arrays.read_archive(path)
    if head.startswith(b"\x93NUMPY"):
        return arrays.read_array(path)
    if head.startswith(b"PAR1"):
        from mixste.detections import parquet

        return parquet.read(path, skeleton)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return _read_json(path)
    raise _unknown(path, "an empty file" if not head else f"a file that begins with {head[:12]!r}")


def _read_json(path: Path) -> Found:
    document = read_json(path)
    if document in ([], {}):
        raise MixsteError(f"nobody was detected in {path}", found="empty JSON", expected="one person at least")
    found = next((found for read in _JSON if (found := read(document, path)) is not None), None)
    if found is not None:
        return found
    kind = f"keys {', '.join(list(document)[:8])}" if isinstance(document, dict) else f"a list of {len(document)}"
    raise _unknown(path, f"JSON with {kind}")


def _unknown(path: Path, found: str) -> MixsteError:
    return MixsteError(f"there are no keypoints in {path} that can be read", found=found, expected="; ".join(FORMATS))
