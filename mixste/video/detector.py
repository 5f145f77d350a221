"""What finds people in a picture: the interface, and detectors by their names."""

import importlib
import sys
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from mixste.errors import MixsteError

DETECTORS = {"rtmlib-light": "lightweight", "rtmlib": "balanced", "rtmlib-large": "performance"}


@runtime_checkable
class Detector(Protocol):
    """Finds people: called with a picture (h w 3), uint8, RGB, it returns (p j 3): x, y in pixels, confidence 0 to 1.

    `skeleton` names the layout of the j joints, or is the YAML file of one. Where nobody is, p is 0.
    """

    skeleton: str

    def __call__(self, image: np.ndarray, /) -> np.ndarray:
        """Return the people in a picture."""
        ...


def load_detector(name: str, *, weights: Path | None = None, device: str = "auto") -> Detector:
    """Return one of DETECTORS, or of your own: MODULE:NAME, a class or an object, from the current folder or installed.

    `weights` is the folder of rtmlib's weights, `device` "cpu", "cuda" or "auto". MixsteError if there is none, or
    what it needs is missing; nothing is ever downloaded.
    """
    if name in DETECTORS:
        from mixste.video.rtm import RTMDetector

        return RTMDetector(DETECTORS[name], weights=weights, device=device)
    if ":" not in name:
        expected = f"{', '.join(DETECTORS)}, or MODULE:NAME of your own"
        raise MixsteError("there is no such detector", found=name, expected=expected)
    return _own(*name.split(":", 1))


def _own(module: str, name: str) -> Detector:
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module.removesuffix(".py")), name)
        detector: Any = found() if isinstance(found, type) else found
    except (ImportError, AttributeError) as error:
        expected = f"{name} in {module}.py, here or installed"
        raise MixsteError(f"cannot load the detector {module}:{name}", found=error, expected=expected) from error
    finally:
        sys.path.pop(0)
    if not callable(detector) or not isinstance(getattr(detector, "skeleton", None), str):
        found, expected = f"a {type(detector).__name__}", "something to call, with the name of a layout in `skeleton`"
        raise MixsteError(f"{module}:{name} is no detector", found=found, expected=expected)
    return cast("Detector", detector)
