"""What is odd about a user's keypoints, counted block by block: refused where the result would be nonsense."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mixste.detections.cleaning import SURE
from mixste.errors import MixsteError
from mixste.lifting.pixels import Pixels

NORMALISED, NEARLY_ALL = 2.0, 0.99  # keypoints of which so many lie this near to 0 are no pixels
FAR, FASTEST = 0.5, 8.0  # of a person's size: more than anybody moves in one frame, and in a second
CROPPED, NOWHERE = 0.05, 0.5  # shares of keypoints outside of the image: worth saying; more than any cropping explains


@dataclass
class Survey:
    """Counts over all frames of single keypoints, and of frames without any; `surest` is the highest confidence."""

    given: int = 0
    seen: int = 0
    broken: int = 0
    negative: int = 0
    unsure: int = 0
    oversure: int = 0
    surest: float = 0.0
    nowhere: int = 0
    far: int = 0
    outside: int = 0
    outside_swapped: int = 0
    near: int = 0
    jumps: int = 0
    empty: int = 0
    longest: int = 0
    _running: int = 0
    _last: list[np.ndarray] = field(default_factory=list)

    def add(self, raw: np.ndarray, told: np.ndarray, clean: np.ndarray, pixels: Pixels) -> None:
        """Count a block of frames: as handed in (t j 2|3), without what is missing, without what is far off (t j 3)."""
        seen = told[..., 2] > 0
        self.given += seen.size
        self.seen += int(seen.sum())
        self.far += int((seen & (clean[..., 2] == 0)).sum())
        self.broken += int((~np.isfinite(raw).all(axis=-1)).sum())
        if pixels.sure:
            confidence = raw[..., 2]
            self.negative += int((confidence < 0).sum())
            self.unsure += int(((confidence > 0) & (confidence < pixels.threshold)).sum())
            self.oversure += int((confidence > 1).sum())
            self.surest = max(self.surest, float(confidence[seen].max(initial=0)))
            claimed = (confidence > 0) & (confidence >= pixels.threshold)
            self.nowhere += int(((raw[..., :2] == 0).all(axis=-1) & claimed).sum())
        places = told[seen][:, :2]
        self.outside += _outside(places, pixels.size)
        self.outside_swapped += _outside(places[:, ::-1], pixels.size)
        self.near += int((np.abs(places) <= NORMALISED).all(axis=1).sum())
        self.jumps += int(_jumps(np.concatenate([*self._last, clean]), pixels.fps).sum())
        self._last = [clean[-1:]]
        self._gaps(clean[..., 2].max(axis=1) > 0)

    def _gaps(self, any_seen: np.ndarray) -> None:
        for seen in any_seen:
            self._running = 0 if seen else self._running + 1
            self.longest = max(self.longest, self._running)
        self.empty += int((~any_seen).sum())

    def check(self, pixels: Pixels) -> None:
        """Raise MixsteError where nothing was detected, or where the numbers cannot be pixels of this image."""
        width, height = pixels.size
        if self.seen == 0:
            raise MixsteError(
                "nothing to lift",
                found=f"no keypoint with confidence {pixels.threshold:g} or more in {len(pixels)} frames"
                + (f" but {self.nowhere} at 0, 0" if self.nowhere else ""),
                mend="look at the detector's output" + ("" if self.nowhere else ", or lower the threshold"),
            )
        if self.surest > SURE:
            raise MixsteError(
                "confidence is on another scale",
                found=f"up to {self.surest:g}",
                expected="0 to 1",
                mend="divide it by its highest possible value",
            )
        if self._normalised(pixels) > NEARLY_ALL:
            raise MixsteError(
                "these keypoints look normalised, not pixels",
                found=f"{self.near} of {self.seen} within {NORMALISED:g} of 0, 0; the image is {width:g} x {height:g}",
                mend="multiply them by the image's size; `Lifter.predict` takes screen units",
            )
        if self.outside > NOWHERE * self.seen:
            swapped = self.outside_swapped < self.outside / 2
            raise MixsteError(
                "these keypoints are not of this image",
                found=f"{self.outside / self.seen:.0%} of them outside of {width:g} x {height:g}",
                expected="x to the right and y down from the image's upper left corner, image_size (width, height)",
                mend="x and y, or width and height, seem to be swapped" if swapped else "give the image's own size",
            )

    def _normalised(self, pixels: Pixels) -> float:
        """The share of keypoints that lie where only numbers do that are no pixels."""
        return self.near / self.seen if min(pixels.size) > NORMALISED else 0.0

    def sentences(self, pixels: Pixels) -> Iterator[str]:
        """Yield what a user should know of the keypoints."""
        if self.broken:
            yield f"{self.broken} keypoints that are NaN or infinite are taken as missing."
        if self.negative:
            yield f"{self.negative} keypoints with negative confidence are taken as missing."
        if self.unsure:
            yield f"{self.unsure} keypoints with confidence below {pixels.threshold:g} are taken as missing."
        if self.oversure:
            yield f"{self.oversure} keypoints with confidence above 1 are taken as sure."
        if self.nowhere:
            yield f"{self.nowhere} keypoints at 0, 0 that claim confidence are taken as missing."
        if self.far:
            yield f"{self.far} keypoints that lie more than an image's size outside of it are taken as missing."
        if self._normalised(pixels) > 1 / 2:
            share = self._normalised(pixels)
            yield f"{share:.0%} of the keypoints lie within {NORMALISED:g} pixels of 0, 0: are they normalised?"
        if self.jumps:
            yield (
                f"In {self.jumps} of {len(pixels)} frames the person is suddenly elsewhere: "
                "if several people are mixed, `mixste.detections.tracks` follows each."
            )
        if self.outside > CROPPED * self.seen:
            width, height = pixels.size
            hint = "; x and y, or width and height, may be swapped" if self.outside_swapped == 0 else ""
            yield f"{self.outside / self.seen:.0%} of the keypoints lie outside of {width:g} x {height:g}{hint}."


def _jumps(clean: np.ndarray, fps: float) -> np.ndarray:
    """Return where (t-1,) a person is farther from the frame before than anybody moves, by the median of the joints."""
    seen = clean[..., 2] > 0
    there = np.asarray((seen[1:] & seen[:-1]).any(axis=1))
    places = np.where(seen[..., None], clean[..., :2], np.nan)
    before, after = places[:-1][there], places[1:][there]
    size: np.ndarray = (np.nanmax(before, axis=1) - np.nanmin(before, axis=1)).max(axis=1)
    moved: np.ndarray = np.nanmedian(np.linalg.norm(after - before, axis=-1), axis=1)
    there[there] = (size > 0) & (moved > max(FAR, FASTEST / fps) * size)
    return there


def _outside(places: np.ndarray, size: tuple[float, float]) -> int:
    """Count the places (n 2) that lie more than a twentieth of the image beyond it."""
    edge = np.array(size, dtype=np.float32)
    return int(((places < -0.05 * edge) | (places > 1.05 * edge)).any(axis=1).sum())
