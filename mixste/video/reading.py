"""From a video to people in its frames."""

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixste.detections.formats.found import Found
from mixste.detections.people import Detections
from mixste.detections.reading import checked
from mixste.errors import MixsteError
from mixste.skeleton import load_skeleton
from mixste.video.detector import Detector
from mixste.video.frames import opened

UNEVEN = 0.25  # the share of frames that may be out of step before no frame rate is true

Tell = Callable[[int, int], None]


def read_video(
    path: str | Path,
    detector: Detector,
    *,
    skeleton: str | None = None,
    fps: float | None = None,
    image_size: tuple[int, int] | None = None,
    tell: Tell | None = None,
) -> Detections:
    """Find people in every frame of a video; frame rate and image size are the file's, the layout is the detector's.

    `fps` says how fast it was filmed where that is not how fast it plays; `image_size` is only compared. Frames that
    are not evenly spaced are put at the nearest even time, and the report says so. `tell` is told how many frames are
    done, and of how many. Memory holds one frame and the keypoints. MixsteError for what is no whole video, has no
    frame rate or nobody in it, and for a detector that does not give what `Detector` says.
    """
    path, joints = Path(path), len(load_skeleton(skeleton or detector.skeleton).joints)
    if fps is not None and not 0 < fps < math.inf:
        raise MixsteError(f"cannot read {path} so", found=f"fps {fps}", expected="more than 0")
    with opened(path) as video:
        if not video.rates and fps is None:
            mend = "say how fast it was filmed: --fps, or fps="
            raise MixsteError(f"{path} says no frame rate", found="fps 0", expected="more than 0", mend=mend)
        seen = _Seen(image_size)
        for number, (time, image) in enumerate(video.frames):
            seen.add(path, time, image, _checked(detector(image), joints, detector.skeleton, number))
            if tell:
                tell(number + 1, max(video.length, number + 1))
    if not seen.times:
        raise MixsteError(f"cannot read the video {path}", found="no frames in it")
    rate, numbers, said = _even(path, seen.times, video.rates, fps)
    if not video.square:
        said.append("the video's pixels are not square: what is in it looks wider or narrower than it was")
    of_people = np.repeat(numbers, seen.counts)
    found = Found(
        "video",
        np.frombuffer(seen.values).reshape(-1, joints, 3)[of_people >= 0],
        of_people[of_people >= 0],
        numbers[numbers >= 0],
        skeleton=detector.skeleton,
        image_size=seen.size,
        fps=fps or rate,
        report=tuple(said),
    )
    return checked(found, path, skeleton=skeleton)


@dataclass
class _Seen:
    """What was found: when each frame is shown, how many are in it, and all of their numbers in one place.

    An array a frame would break the memory up that the pictures come and go in, and it would grow without bound.
    """

    size: tuple[int, int] | None
    times: list[float | None] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    values: array = field(default_factory=lambda: array("d"))

    def add(self, path: Path, time: float | None, image: np.ndarray, people: np.ndarray) -> None:
        """Take a frame in; MixsteError if it is not of the size of those before, or of the one that was given."""
        height, width = image.shape[:2]
        if self.size not in (None, (width, height)):
            found, expected = f"{width} x {height} pixels in frame {len(self.times)}", "{} x {}".format(*self.size)
            raise MixsteError(f"{path} is not of the size expected", found=found, expected=expected)
        self.size = (width, height)
        self.times.append(time)
        self.counts.append(len(people))
        self.values.frombytes(people.tobytes())


def _checked(people: np.ndarray, joints: int, layout: str, number: int) -> np.ndarray:
    values = np.asarray(people, dtype=np.float64)
    if values.size == 0:
        return np.empty((0, joints, 3))
    if values.ndim != 3 or values.shape[1:] != (joints, 3):
        expected = f"(people, {joints} joints of {layout}, 3): x, y, confidence"
        raise MixsteError(f"the detector gave no people in frame {number}", found=values.shape, expected=expected)
    return values


def _even(
    path: Path, times: list[float | None], rates: tuple[float, ...], stated: float | None
) -> tuple[float, np.ndarray, list[str]]:
    """Return frames a second, the number of every frame in even steps (t,), -1 if its place is taken, and sentences."""
    if not rates or None in times:
        rate = rates[0] if rates else float(stated or 0)
        said = f"the video does not say when its frames are shown; they are taken for even, {stated or rate:g} fps"
        return rate, np.arange(len(times)), [said]
    shown = np.array(times, dtype=np.float64) - (times[0] or 0.0)
    usual = [1 / float(np.median(np.diff(shown)))] if len(shown) > 2 and np.median(np.diff(shown)) > 0 else []
    steps = [_Steps(shown, rate) for rate in (*rates, *usual)]
    best = min(steps, key=lambda each: each.double + each.holes)
    at = f"at {best.rate:.5g} fps {best.double} of {len(shown)} frames"
    if best.double + best.holes > UNEVEN * len(shown):
        found = f"{at} have no place, and {best.holes} places no frame"
        mend = "make its frame rate constant: ffmpeg -i IN -r 30 OUT"
        raise MixsteError(f"the frame rate of {path} varies", found=found, expected="even steps of time", mend=mend)
    uneven = f"frames are not evenly spaced: {at} have no place and are left out, {best.holes} places are empty"
    return best.rate, np.where(best.first, best.places, -1), [uneven] if best.double or best.holes else []


class _Steps:
    """Moments (t,) in even steps: the place of each, whether it is the first there, doubles and holes."""

    def __init__(self, shown: np.ndarray, rate: float) -> None:
        self.rate, self.places = rate, np.round(shown * rate).astype(np.int64)
        self.first = np.diff(self.places, prepend=-1) > 0
        self.double = int((~self.first).sum())
        self.holes = int(self.places.max()) + 1 - int(self.first.sum())
