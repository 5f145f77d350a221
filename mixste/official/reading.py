"""Files of torch.save, read without running anything that they hold."""

import hashlib
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import safe_globals

from mixste.errors import MixsteError

# What a numpy RandomState is pickled with, by numpy 1.16 and older, by 1.17 to 1.26, and by 2.
_RANDOM_STATE = (
    "numpy.random.__RandomState_ctor",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._mt19937.MT19937",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    "numpy.ndarray",
    "numpy.dtype",
)


_OTHERS = {
    **dict.fromkeys((".onnx", ".pt2"), "a network that was exported for other programs"),
    **dict.fromkeys((".npz", ".npy", ".csv", ".parquet", ".bvh", ".json"), "as motion and keypoints are"),
}


class _Inert:
    """Stands in for whatever a RandomState is pickled with: takes anything, keeps nothing, runs nothing."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_weights(path: Path, *, trust: bool = False) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint by name, without a leading `module.`, on the CPU.

    Reads a bare state dict or one under `model_pos`, as MixSTE wraps it. Raises MixsteError for any other file and,
    unless `trust`, for one that would run code on loading; numpy's RandomState is passed over.
    """
    if path.suffix.lower() in _OTHERS:
        raise MixsteError(
            f"{path} holds no weights that can be trained or lifted with",
            found=f"a {path.suffix} file, {_OTHERS[path.suffix.lower()]}",
            expected="a model folder, models:/NAME@ALIAS or an official checkpoint, a file of torch.save",
        )
    _refuse_damaged(path)
    content = _unpickled(path) if trust else _weights_only(path)
    state = content.get("model_pos", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not state or not all(map(_is_weight, state.keys(), state.values())):
        raise MixsteError(
            f"{path} holds no weights",
            found=_described(content if state is content else state),
            expected="dense tensors of real numbers by name, or a dictionary that has them under model_pos",
        )
    wrapped = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if wrapped else name: value for name, value in state.items()}


def sha256(path: Path) -> str:
    """Return the hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_damaged(path: Path) -> None:
    """Hold every part of the archive against its checksum, which torch does not look at."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"{damaged} is not what was written")
    except Exception as error:  # whatever zipfile raises for headers that lie
        raise _unreadable(path, error) from error


def _is_weight(name: object, value: object) -> bool:
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and (value.layout, value.device.type) == (torch.strided, "cpu")
        and not (value.is_complex() or value.is_quantized)
    )


def _weights_only(path: Path) -> Any:
    with safe_globals([(_Inert, name) for name in _RANDOM_STATE]):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever torch raises for a file that is not its own or not whole
            _refuse_code(path, error)
            raise _unreadable(path, error) from error


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise _unreadable(path, error) from error


def _refuse_code(path: Path, error: Exception) -> None:
    named = re.search(r"(?:GLOBAL |(?:type|class) (?=\w+\.))([\w.]*\w)", str(error))
    if named:
        raise MixsteError(
            f"{path} would run code on loading",
            found=named[1],
            expected="tensors, numbers, text and numpy's RandomState",
            mend="ask its author for a plain state dict; or, if you trust the file as you trust a program, add --trust",
        ) from error


def _unreadable(path: Path, error: Exception) -> MixsteError:
    if isinstance(error, FileNotFoundError):
        return MixsteError(f"cannot read {path}", found="no such file")
    if isinstance(error, IsADirectoryError):
        return MixsteError(f"cannot read {path}", found="a folder", expected="a file of torch.save")
    told = str(error).split("WeightsUnpickler error:")[-1].strip()
    reason = (told.splitlines() or [""])[0][:120]
    return MixsteError(
        f"cannot read {path}",
        found=f"not a whole file of torch.save ({type(error).__name__}: {reason})",
        mend="copy or download it again, and compare its size with the original's",
    )


def _described(content: Any) -> str:
    if not isinstance(content, dict):
        return type(content).__name__
    odd = [f"{name} ({_kind(value)})" for name, value in content.items() if not _is_weight(name, value)]
    return f"a dictionary of {len(content)}, among them {', '.join(odd[:4])}" if odd else "an empty dictionary"


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.layout} of {value.dtype} on {value.device}".replace("torch.", "")
    return type(value).__name__
