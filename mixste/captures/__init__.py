"""Capture files of any format: `read_capture(path, format)`; a format is one module in `formats` with a `read(path)`.

A format that needs more than the file says so in `read`'s keywords, which `read_capture` hands on.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from mixste.captures.capture import Capture, Recording, SourceError
from mixste.errors import MixsteError

__all__ = ["FORMATS", "Capture", "Recording", "SourceError", "read_capture"]

FORMATS = {name: f"mixste.captures.formats.{name}" for name in ("bvh", "asfamc", "amass")}


def read_capture(path: str | Path, format: str, **more: Any) -> Capture:  # noqa: A002  (the settings' own word)
    """Read one capture file of a format named in FORMATS; MixsteError if it is unknown or the file is damaged."""
    if format not in FORMATS:
        raise MixsteError(f"cannot read {path}", found=f"format {format}", expected=f"one of {', '.join(FORMATS)}")
    capture: Capture = import_module(FORMATS[format]).read(Path(path), **more)
    if not len(capture.positions):
        raise MixsteError(f"cannot read {path}", found="no frames", expected="at least one", mend="remove the file")
    return capture
