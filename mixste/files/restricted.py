"""Pickles, and npz files with Python objects in them, read without running what they name.

A pickle may name any function for its reader to call. Here it is called only where it makes arrays,
numbers or plain containers.
"""

import io
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np

from mixste.errors import MixsteError

DAMAGED = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(ValueError, LookupError, AttributeError, TypeError, OverflowError, MemoryError, NotImplementedError),
)
_RECOPY = "it may be cut short or damaged: copy or download it again"


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes into pickles that Python 2 can read; no other codec is looked up."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes as {encoding}")
    return text.encode(encoding)


# numpy's own names of these three are private and have changed: asked of numpy, known by both
_NUMPY = {
    "multiarray._reconstruct": np.empty(0).__reduce__()[0],
    "multiarray.scalar": np.float64(0).__reduce__()[0],
    "numeric._frombuffer": np.empty(1).__reduce_ex__(5)[0],
}
_PLAIN = (set, frozenset, bytearray, complex, dict, list, tuple, int, float, bool, str, bytes)
ALLOWED: dict[str, Any] = {
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": defaultdict,
    "_codecs.encode": _encode,
    **{f"numpy.{core}.{name}": function for core in ("core", "_core") for name, function in _NUMPY.items()},
    **{f"{module}.{kind.__name__}": kind for module in ("builtins", "__builtin__") for kind in _PLAIN},
}


class Refused(pickle.UnpicklingError):
    """A pickle names what may not be called."""


class _Unpickler(pickle.Unpickler):
    """Finds nothing but what is allowed."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle names; UnpicklingError if it may not be called."""
        if f"{module}.{name}" not in ALLOWED:
            raise Refused(f"{module}.{name}")
        return ALLOWED[f"{module}.{name}"]


def read_pickle(path: Path) -> Any:
    """Return what a pickle of arrays and plain containers holds; MixsteError if it is damaged or names more."""
    try:
        with path.open("rb") as file:
            return _unpickled(file)
    except DAMAGED as error:
        raise _error(path, error, "a pickle of arrays and plain containers") from error


def npz_keys(path: Path) -> tuple[str, ...]:
    """Return the names of an npz file's arrays; MixsteError if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except DAMAGED as error:
        raise _error(path, error, "an npz file") from error


def read_npz(path: Path, keys: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file by name, all or those of `keys`; an array of objects as `read_pickle` would.

    MixsteError if the file is damaged, lacks a key, or holds objects other than arrays and plain containers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            missing = sorted(set(keys or ()) - set(names))
            if missing:
                found = f"no {', '.join(missing)} among {', '.join(names)}"
                raise MixsteError(f"cannot use {path}", found=found, mend="check that it is the right file")
            return {name: _array(archive, name) for name in names if keys is None or name in keys}
    except DAMAGED as error:
        raise _error(path, error, "an npz file") from error


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as member:
        file = io.BytesIO(member.read())
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    if read(file)[2].hasobject:
        array: np.ndarray = _unpickled(file)
        return array
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _unpickled(file: IO[bytes]) -> Any:
    return _Unpickler(file, encoding="latin1").load()


def _error(path: Path, error: Exception, expected: str) -> MixsteError:
    if isinstance(error, Refused):
        found, expected = f"it would call {error}", "arrays, numbers, text and plain containers only"
        return MixsteError(f"refused to read {path}", found=found, expected=expected, mend="do not trust this file")
    found = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return MixsteError(f"cannot read {path}", found=found, expected=expected, mend=_RECOPY)
