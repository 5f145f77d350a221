"""From a file, or what a detector found in a video, to checked people in the frames."""

from pathlib import Path

import numpy as np

from mixste.detections import formats
from mixste.detections.cleaning import cleaned, ordered
from mixste.detections.formats.arrays import metadata
from mixste.detections.formats.found import Found
from mixste.detections.layouts import layout_of, likelier
from mixste.detections.people import Detections
from mixste.errors import MixsteError, counted
from mixste.skeleton import load_skeleton

SOME = 256  # people who tell the layout


def read_detections(
    path: str | Path,
    *,
    skeleton: str | None = None,
    image_size: tuple[int, int] | None = None,
    fps: float | None = None,
) -> Detections:
    """Read a file or folder of 2D keypoints in pixels, in any of FORMATS; its `report` says what was recognised.

    `skeleton` (a layout's name, or a YAML file of one), `image_size` (width, height) and `fps` are given where the file
    does not tell, or is wrong. MixsteError if the file is none of them or damaged, its joints do not fit the layout, or
    nobody is in it.
    """
    path = Path(path)
    given = metadata({"skeleton": skeleton, "image_size": image_size, "fps": fps}, path)
    return checked(formats.read(path, skeleton), path, **given)


def checked(
    found: Found,
    path: Path,
    *,
    skeleton: str | None = None,
    image_size: tuple[int, int] | None = None,
    fps: float | None = None,
) -> Detections:
    """Return what was found, in order and cleaned, in a layout; what is given goes before what the file says."""
    source = f"{path} ({found.format})"
    if not len(found.frames) or not len(found.people):
        nobody = f"{counted(len(found.frames), 'frame')} without people"
        raise MixsteError(f"nobody was detected in {source}", found=nobody)
    layout, on_layout = layout_of(found.people.shape[1], skeleton or found.skeleton, source)
    people, numbers, total, on_order = ordered(found, source)
    people, repairs = cleaned(people[:, : len(load_skeleton(layout).joints)], source)
    present = (people[..., 2] > 0).any(axis=1)
    people, numbers = people[present], numbers[present]
    if skeleton is None and found.skeleton is None and (other := likelier(people[:: -(-len(people) // SOME)], layout)):
        layout, on_layout = other, f"read as {other} and not as {layout}, whose bones would be far longer"
    amount = f"{found.format}: {counted(total, 'frame')}, {_each(numbers, total)}"
    said = (amount, on_layout, *found.report, *on_order, *repairs)
    frames = tuple(np.split(people, np.searchsorted(numbers, np.arange(1, total))))
    return Detections(frames, layout, found.format, image_size or found.image_size, fps or found.fps, said)


def _each(numbers: np.ndarray, total: int) -> str:
    counts = np.bincount(numbers, minlength=total)
    least, most = int(counts.min()), int(counts.max())
    return f"{least} to {most} people in each" if least < most else f"{counted(most, 'person')} in each"
