"""What is odd about a user's keypoints, counted block by block: refused where the result would be nonsense."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixste.errors import MixsteError
from mixste.lifting.pixels import Pixels

NORMALISED = 2.0  # keypoints that all lie this near to 0 are no pixels
CROPPED, NOWHERE = 0.05, 0.5  # shares of keypoints outside of the image: worth saying; more than any cropping explains


@dataclass
class Survey:
    """Counts over all frames of single keypoints, and of frames without any."""

    given: int = 0
    seen: int = 0
    broken: int = 0
    negative: int = 0
    unsure: int = 0
    oversure: int = 0
    outside: int = 0
    outside_swapped: int = 0
    farthest: float = 0.0
    empty: int = 0
    longest: int = 0
    _running: int = 0

    def add(self, raw: np.ndarray, clean: np.ndarray, pixels: Pixels) -> None:
        """Count a block of frames, as it was handed in (t j 2|3) and cleaned (t j 3)."""
        seen = clean[..., 2] > 0
        self.given += seen.size
        self.seen += int(seen.sum())
        self.broken += int((~np.isfinite(raw).all(axis=-1)).sum())
        if pixels.sure:
            confidence = raw[..., 2]
            self.negative += int((confidence < 0).sum())
            self.unsure += int(((confidence > 0) & (confidence < pixels.threshold)).sum())
            self.oversure += int((confidence > 1).sum())
        places = clean[seen][:, :2]
        self.outside += _outside(places, pixels.size)
        self.outside_swapped += _outside(places[:, ::-1], pixels.size)
        self.farthest = max(self.farthest, float(np.abs(places).max(initial=0)))
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
                found=f"no keypoint with confidence {pixels.threshold:g} or more in {len(pixels)} frames",
                mend="lower the threshold, or look at the detector's output",
            )
        if self.farthest <= NORMALISED < min(width, height):
            raise MixsteError(
                "these keypoints look normalised, not pixels",
                found=f"no x or y beyond {self.farthest:.3g} for an image of {width:g} x {height:g}",
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
        if self.outside > CROPPED * self.seen:
            width, height = pixels.size
            hint = "; x and y, or width and height, may be swapped" if self.outside_swapped == 0 else ""
            yield f"{self.outside / self.seen:.0%} of the keypoints lie outside of {width:g} x {height:g}{hint}."


def _outside(places: np.ndarray, size: tuple[float, float]) -> int:
    """Count the places (n 2) that lie more than a twentieth of the image beyond it."""
    edge = np.array(size, dtype=np.float32)
    return int(((places < -0.05 * edge) | (places > 1.05 * edge)).any(axis=1).sum())
