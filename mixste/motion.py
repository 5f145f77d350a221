"""Motion: joints that move, with their frame, unit, skeleton and frames per second."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Motion:
    """Joints (t j 3) of a skeleton: camera axes (X right, Y down, Z forward) or the world's (Z up)."""

    joints: np.ndarray
    skeleton: str
    fps: float
    unit: str = "m"
    frame: str = "camera"
    rooted: bool = True
    report: tuple[str, ...] = ()
