"""What a reader takes from a file as it stands there, before it is checked and cleaned: one row a detected person."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixste.errors import MixsteError, counted

RECOPY = "the file may be cut short or damaged: copy or export it again"


@dataclass(frozen=True)
class Found:
    """`people` (n j 3) of x, y, confidence, `numbers` (n,) of their frames; `frames`: the numbers of all frames."""

    format: str
    people: np.ndarray
    numbers: np.ndarray
    frames: np.ndarray
    skeleton: str | None = None
    image_size: tuple[int, int] | None = None
    fps: float | None = None
    report: tuple[str, ...] = ()


def gather(
    path: Path, kind: str, people: Sequence[tuple[int, np.ndarray]], frames: Iterable[int], **more: Any
) -> Found:
    """Put people (frame number, (j 3)) together; MixsteError if they are not all of as many joints."""
    counts = sorted({len(joints) for _, joints in people})
    if len(counts) > 1:
        having = {count: sum(len(joints) == count for _, joints in people) for count in counts}
        found = " and ".join(f"{counted(number, 'person')} with {count}" for count, number in having.items())
        raise MixsteError(f"cannot read {path} as {kind}", found=f"{found} joints", expected="one layout in a file")
    stacked = np.stack([joints for _, joints in people]) if people else np.empty((0, 0, 3))
    numbers = np.array([number for number, _ in people], dtype=np.int64)
    return Found(kind, stacked, numbers, np.array(list(frames), dtype=np.int64), **more)


def triples(values: object, where: str) -> np.ndarray:
    """Return (j 3) of a flat list x, y, confidence, x, ...; MixsteError names the place if it is anything else."""
    array = numbers_in(values, where)
    if array.ndim != 1 or array.size % 3:
        found = f"{array.size} numbers" if array.ndim == 1 else f"shape {array.shape}"
        raise MixsteError(f"cannot read the keypoints of {where}", found=found, expected="x, y, confidence a joint")
    return array.reshape(-1, 3)


def numbers_in(values: object, where: str) -> np.ndarray:
    """Return lists of numbers as an array, null as NaN; MixsteError names the place if they are of anything else."""
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MixsteError(
            f"cannot read the keypoints of {where}", found=str(error), expected="numbers only", mend=RECOPY
        ) from error


def frame_numbers(path: Path, names: Sequence[str]) -> list[int]:
    """Return the last number in each file name: the frame's.

    A single name needs none. MixsteError if another has none, or names differ in more: frames of several videos.
    """
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", Path(name).stem) for name in names]
    if len(set(names)) == 1:
        return [int(part[2]) if part else 0 for part in parts]
    bad = next((name for name, part in zip(names, parts, strict=True) if part is None), None)
    if bad is not None:
        raise MixsteError(f"cannot tell the order of frames in {path}", found=bad, expected="a number in every name")
    videos = sorted({f"{part[1]}#{part[3]}" for part in parts if part})
    if len(videos) > 1:
        found = f"frames of {len(videos)}: {', '.join(videos[:4])}"
        raise MixsteError(
            f"there are several videos in {path}", found=found, expected="one", mend="read them one by one"
        )
    return [int(part[2]) for part in parts if part]
