"""RTMPose with feet (Halpe's 26 joints) in the boxes of YOLOX, by rtmlib: Apache 2.0, on onnxruntime."""

import os
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse
from zipfile import BadZipFile, ZipFile

import numpy as np

from mixste.errors import MixsteError
from mixste.files.whole import whole_file
from mixste.video.frames import NEEDS

FOLDER = "MIXSTE_WEIGHTS"  # the environment variable


class RTMDetector:
    """A `Detector` of rtmlib's weights "lightweight", "balanced" or "performance", which lie in a folder.

    By default in that which the environment variable MIXSTE_WEIGHTS names, else in ~/.cache/mixste/weights; as .onnx,
    or as the .zip that is offered. `device` is "cpu", "cuda" or "auto". MixsteError says which file is missing, and
    from where to fetch it.
    """

    skeleton = "halpe26"

    def __init__(self, mode: str, *, weights: Path | None = None, device: str = "auto") -> None:
        try:
            from rtmlib import YOLOX, BodyWithFeet, RTMPose
        except ImportError as error:
            raise MixsteError("cannot detect", found=error, expected="the extra video", mend=NEEDS) from error
        kind = BodyWithFeet.MODE[mode]
        people, pose = _weights([kind["det"], kind["pose"]], weights or folder())
        where = {"backend": "onnxruntime", "device": _device(device)}
        self._people = _made(YOLOX, people, model_input_size=kind["det_input_size"], **where)
        self._pose = _made(RTMPose, pose, model_input_size=kind["pose_input_size"], **where)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the people (p 26 3) in a picture (h w 3), RGB."""
        turned = np.ascontiguousarray(image[..., ::-1])  # they were trained on BGR
        boxes = self._people(turned)
        if not len(boxes):  # RTMPose would take the whole picture for a person
            return np.empty((0, 26, 3))
        places, scores = self._pose(turned, bboxes=boxes)
        return np.concatenate([places, scores[..., None]], axis=-1)


def folder() -> Path:
    """Return where weights lie unless another folder is named."""
    named = os.environ.get(FOLDER)
    return Path(named) if named else Path.home() / ".cache/mixste/weights"


def _weights(urls: list[str], place: Path) -> list[Path]:
    """Return the files of weights; MixsteError lists all that are missing."""
    names = [PurePosixPath(urlparse(url).path) for url in urls]
    paths = [place / f"{name.stem}.onnx" for name in names]
    missing = [
        url
        for url, name, path in zip(urls, names, paths, strict=True)
        if not path.is_file() and not (place / name.name).is_file()
    ]
    if missing:
        mend = f"put them there as they are (or name their folder by --weights or {FOLDER}): {' '.join(missing)}"
        found = f"{len(missing)} of {len(urls)} files are not in {place}; nothing is downloaded unasked"
        raise MixsteError("the detector's weights are missing", found=found, mend=f"fetch these and {mend}")
    for name, path in zip(names, paths, strict=True):
        if not path.is_file():
            _unpack(place / name.name, path)
    return paths


def _unpack(archive: Path, path: Path) -> None:
    """Take the one .onnx file out of an archive."""
    try:
        with ZipFile(archive) as file:
            (member,) = [name for name in file.namelist() if name.endswith(".onnx")]
            with whole_file(path) as partial:
                partial.write_bytes(file.read(member))
    except (BadZipFile, ValueError) as error:
        expected = "a .zip with one .onnx file"
        raise MixsteError(f"cannot unpack {archive}", found=error, expected=expected, mend="fetch it again") from error


def _made(kind: Any, path: Path, **options: Any) -> Any:
    try:
        with redirect_stdout(StringIO()):  # it greets
            return kind(str(path), **options)
    except Exception as error:  # onnxruntime's have no family of their own
        found = str(error).splitlines()[0]
        raise MixsteError(
            f"cannot load {path}", found=found, expected="weights in ONNX", mend="fetch it again"
        ) from error


def _device(name: str) -> str:
    from onnxruntime import get_available_providers

    there = "CUDAExecutionProvider" in get_available_providers()
    if name.startswith("cuda") and not there:
        mend = 'pip install onnxruntime-gpu in its place, or use device "cpu"'
        raise MixsteError("cannot detect on a GPU", found="an onnxruntime without CUDA", mend=mend)
    return "cpu" if name == "cpu" or not there else name if name.startswith("cuda") else "cuda"
