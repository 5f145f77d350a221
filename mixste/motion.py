"""What comes out of lifting."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Motion:
    """Joints (t j 3) with what their numbers mean."""

    joints: np.ndarray
    skeleton: str
    fps: float
    unit: str = "m"
    frame: str = "camera"
    rooted: bool = True
    report: tuple[str, ...] = ()
