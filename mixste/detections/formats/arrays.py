"""Arrays of keypoints, as scripts around rtmlib and others save them: npz, npy, or the same keys in a JSON object.

`keypoints` are (t j c) of one person or (t p j c), c: x, y and, unless `scores` (`confidence`, `keypoint_scores`) holds
it, confidence. `fps`, `image_size` (width, height) and `skeleton` may stand beside them.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from mixste.detections.formats.found import RECOPY, Found, gather, numbers_in
from mixste.errors import MixsteError
from mixste.files.restricted import npz_keys, read_npz

SCORES = ("scores", "confidence", "keypoint_scores")
MORE = ("fps", "image_size", "skeleton")


def read_archive(path: Path) -> Found:
    """Return the people of an npz file; MixsteError if it has no `keypoints`, or they are of another shape."""
    names = npz_keys(path)
    if "keypoints" not in names:
        found, expected = f"arrays {', '.join(names) or 'of no name'}", "keypoints, and scores beside them or within"
        raise MixsteError(f"there are no keypoints in {path}", found=found, expected=expected)
    arrays = read_npz(path, [name for name in names if name in ("keypoints", *SCORES, *MORE)])
    return _read("npz", path, {name: array[()] if array.ndim == 0 else array for name, array in arrays.items()})


def read_array(path: Path) -> Found:
    """Return the people of an npy file; MixsteError if it is damaged or of another shape."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise MixsteError(f"cannot read {path}", found=str(error), expected="an npy file", mend=RECOPY) from error
    return _read("npy", path, {"keypoints": array})


def read(document: Any, path: Path) -> Found | None:
    """Return the people of a JSON object of such arrays, of any number of people a frame; None if it is none."""
    if not isinstance(document, dict) or not isinstance(document.get("keypoints"), list):
        return None
    frames = document["keypoints"]
    if _depth(frames) != 4:
        return _read("plain JSON", path, document | {"keypoints": numbers_in(frames, str(path))})
    scores = _scores(document)
    if scores is not None and [len(frame) for frame in frames] != [len(frame) for frame in scores]:
        raise MixsteError(f"cannot read {path}", found="other people in the scores than in the keypoints")
    people = [
        (number, _joined(numbers_in(person, where), None if scores is None else scores[number][index], where))
        for number, frame in enumerate(frames)
        for where in (f"{path}, frame {number}",)
        for index, person in enumerate(frame)
    ]
    return gather(path, "plain JSON", people, range(len(frames)), **_more(document, path))


def _read(kind: str, path: Path, arrays: dict[str, Any]) -> Found:
    joints = _joined(np.asarray(arrays["keypoints"]), _scores(arrays), str(path))
    if joints.ndim == 3:
        joints = joints[:, None]
    if joints.ndim != 4:
        found, expected = (
            f"keypoints of shape {joints.shape}",
            "(frames, joints, 2 or 3) or (frames, people, joints, 2 or 3)",
        )
        raise MixsteError(f"cannot read {path}", found=found, expected=expected)
    frames = np.arange(len(joints))
    people = joints.reshape(-1, *joints.shape[2:])
    return Found(kind, people, np.repeat(frames, joints.shape[1]), frames, **_more(arrays, path))


def _joined(keypoints: np.ndarray, scores: Any, where: str) -> np.ndarray:
    """Put the confidence (... j) beside the places (... j 2); where there is none it is 1."""
    channels = keypoints.shape[-1] if keypoints.ndim else 0
    if keypoints.dtype.kind not in "fiu" or channels not in (2, 3):
        found = f"keypoints of shape {keypoints.shape}, type {keypoints.dtype}"
        raise MixsteError(f"cannot read {where}", found=found, expected="numbers x, y or x, y, confidence a joint")
    keypoints = keypoints.astype(np.float64)
    if channels == 3 and scores is None:
        return keypoints
    confidence = np.ones(keypoints.shape[:-1]) if scores is None else numbers_in(scores, where)
    confidence = confidence[..., 0] if confidence.shape == (*keypoints.shape[:-1], 1) else confidence
    if channels == 3 or confidence.shape != keypoints.shape[:-1]:
        found, expected = f"keypoints {keypoints.shape}, scores {confidence.shape}", "x, y a joint and one score of it"
        raise MixsteError(f"the scores of {where} do not fit its keypoints", found=found, expected=expected)
    return np.concatenate([keypoints, confidence[..., None]], axis=-1)


def _scores(arrays: dict[str, Any]) -> Any:
    return next((arrays[name] for name in SCORES if arrays.get(name) is not None), None)


def _more(arrays: dict[str, Any], path: Path) -> dict[str, Any]:
    return metadata({name: arrays.get(name) for name in MORE}, path)


def metadata(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the checked fps, image_size and skeleton of a file, each None without; MixsteError if one cannot be."""
    fps, size, skeleton = (values.get(name) for name in MORE)
    try:
        rate = None if fps is None else float(fps)
        image = None if size is None else tuple(int(side) for side in size)
    except (TypeError, ValueError) as error:
        raise MixsteError(f"cannot read {path}", found=f"fps {fps}, image_size {size}", expected="numbers") from error
    if rate is not None and not (rate > 0 and math.isfinite(rate)):
        raise MixsteError(f"cannot read {path}", found=f"fps {fps}", expected="more than 0")
    if image is not None and (len(image) != 2 or min(image) <= 0):
        raise MixsteError(f"cannot read {path}", found=f"image_size {size}", expected="width and height in pixels")
    return {"fps": rate, "image_size": image, "skeleton": None if skeleton is None else str(skeleton)}


def _depth(value: Any) -> int:
    """How many lists stand in each other where there is most to see."""
    if not isinstance(value, list):
        return 0
    return 1 + max(map(_depth, value[:64]), default=0)
