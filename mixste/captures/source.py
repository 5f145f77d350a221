"""What the settings say of one kind of capture file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mixste.errors import MixsteError
from mixste.joint_maps import JointMap

UPRIGHT = {"y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), "z": np.eye(3)}


@dataclass(frozen=True)
class Source:
    """One kind of capture file: how it is read and becomes metres with Z up; `fps` None: the file's own.

    `upright`: its people stand, walk or sit in most frames, which shows whether `up` is right. `more` is what its
    format needs besides the file.
    """

    name: str
    format: str
    joint_map: JointMap
    metres_per_unit: float
    up: str
    fps: float | None = None
    upright: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.metres_per_unit) and self.metres_per_unit > 0):
            what, expected = f"unknown unit of source {self.name}", "metres per unit, above 0 (centimetres: 0.01)"
            raise MixsteError(what, found=self.metres_per_unit, expected=expected, mend="set metres_per_unit")
        if self.up not in UPRIGHT:
            raise MixsteError(
                f"unknown vertical axis of source {self.name}", found=self.up, expected=", ".join(UPRIGHT)
            )
