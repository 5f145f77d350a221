"""The readers, one a format. What is in a file tells which; one of JSON returns None for another's document."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mixste.detections.formats import arrays, mmpose, openpose, results
from mixste.detections.formats.found import Found
from mixste.detections.formats.jsons import read_json
from mixste.errors import MixsteError

FORMATS = (
    "OpenPose (a folder of JSON files, one a frame, or one of them)",
    "AlphaPose and Halpe results JSON (also --format open and cmu)",
    "COCO results JSON",
    "MMPose JSON (inferencer or demo)",
    "JSON or npz with keypoints (t j c) or (t p j c) and scores, as saved around rtmlib; npy",
    "Parquet with columns frame, person, joint, x, y, confidence",
    "DeepLabCut, SLEAP, Lightning Pose and NWB, by the library movement",
)
HEAD = 64  # bytes that tell
_JSON: tuple[Callable[[Any, Path], Found | None], ...] = (results.read, openpose.read, mmpose.read, arrays.read)


def read(path: Path, skeleton: str | None) -> Found:
    """Return what a file or folder of any of FORMATS holds; MixsteError if it is none of them, or damaged."""
    if path.is_dir():
        return openpose.read_folder(path)
    head = first_bytes(path)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return _read_json(path)
    if head.startswith(b"PK\x03\x04"):
        return arrays.read_archive(path)
    if head.startswith(b"\x93NUMPY"):
        return arrays.read_array(path)
    if head.startswith(b"PAR1"):
        from mixste.detections.formats import parquet

        return parquet.read(path, skeleton)
    if head.startswith((b"\x89HDF\r\n", b"scorer,")):
        from mixste.detections.formats import movement

        return movement.read(path, skeleton)
    raise _unknown(path, "an empty file" if not head else f"a file that begins with {head[:12]!r}")


def first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file, which tell what it is; MixsteError if it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise MixsteError(
            f"cannot read {path}", found=error.strerror, expected="a file or folder of keypoints, or a video"
        ) from error


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
