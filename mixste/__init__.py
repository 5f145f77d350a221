"""Pose lifters: trained, measured and used. 2D keypoints `t j c` in screen units to 3D joints `t j 3` in metres.

`Lifter` lifts, `Motion` is what it gives, `MixsteError` what it raises; each is imported when it is first asked for,
because torch takes a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixste.errors import MixsteError
    from mixste.lifter import Lifter
    from mixste.motion import Motion

__all__ = ["Lifter", "MixsteError", "Motion"]

_PLACES = {"Lifter": "mixste.lifter", "MixsteError": "mixste.errors", "Motion": "mixste.motion"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
