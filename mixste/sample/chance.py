"""Everything that varies in the sample, from one uniform stream, so that the bytes stay the same."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Chance:
    """Numbers and smooth curves drawn from PCG64's uniform doubles alone, the one stream numpy promises to keep."""

    def __init__(self, *seed: int) -> None:
        self._uniform = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))

    def between(self, low: float, high: float) -> float:
        """Draw a number from [low, high)."""
        return low + (high - low) * float(self._uniform.random())

    def pick(self, choices: Sequence[T]) -> T:
        """Draw one of `choices`, all equally likely."""
        return choices[int(self._uniform.random() * len(choices))]

    def wander(self, seconds: np.ndarray, size: float, slow: float = 0.08, fast: float = 0.9) -> np.ndarray:
        """Draw a smooth curve (t,) around zero, its standard deviation about `size`, from `slow` to `fast` hertz."""
        curve = np.zeros_like(seconds)
        weights = np.array([1.0, 0.8, 0.6, 0.4, 0.3])
        for frequency, weight in zip(np.geomspace(slow, fast, len(weights)), weights, strict=True):
            rate = 2 * np.pi * frequency * self.between(0.8, 1.25)
            curve += weight * np.sin(rate * seconds + self.between(0.0, 2 * np.pi))
        return size * curve * np.sqrt(2 / np.sum(weights**2))
