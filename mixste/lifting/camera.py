"""The camera that filmed: fx, fy, cx, cy as a user says them; and the pixels of a motion's own joints, to see it by."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from mixste.errors import MixsteError
from mixste.joint_maps import map_skeleton
from mixste.lifting.pixels import cleaned
from mixste.lifting.trajectory import pinhole
from mixste.skeleton import load_skeleton, read_yaml

FORMS = "FX,FY,CX,CY in pixels; the angle from left to right as 60deg; or FILE or FILE:NAME, .json, .yaml or .toml"
LENGTHS = ("fx", "fy", "cx", "cy")
MATRICES = ("matrix", "camera_matrix", "K")
BENT = ("distortions", "distortion", "dist_coeffs", "distortion_coefficients")
BENDS = "The lens's distortion, which the camera's file has, is not undone."

Intrinsics = tuple[float, float, float, float]


def read_camera(text: str, image_size: tuple[float, float]) -> tuple[Intrinsics, tuple[str, ...]]:
    """Return fx, fy, cx, cy in pixels of what a user says in one of FORMS, and sentences on what is not certain.

    A file has the keys fx, fy, cx, cy, or a 3 x 3 matrix under one of MATRICES; it may hold several such cameras, by
    name. MixsteError for anything else.
    """
    if text.endswith("deg"):
        values = pinhole(image_size, _number(text.removesuffix("deg"), text))
        return values, ("The camera's pixels were taken for square, and the middle of the picture for its axis.",)
    parts = text.split(",")
    if len(parts) == len(LENGTHS):
        fx, fy, cx, cy = (_number(part, text) for part in parts)
        return _checked((fx, fy, cx, cy), text, image_size)
    return _from_file(text, image_size)


def pixels_of(keypoints: np.ndarray, skeleton: str, target: str, threshold: float) -> np.ndarray:
    """Return the pixels (t j 3; x, y, confidence) of a model's joints, from keypoints (t k 2|3) of a layout."""
    clean = cleaned(np.asarray(keypoints, dtype=np.float32), threshold)
    return map_skeleton(skeleton, target).apply_keypoints(load_skeleton(skeleton).joints, clean)


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise MixsteError("cannot tell the camera", found=whole, expected=FORMS) from None


def _from_file(text: str, image_size: tuple[float, float]) -> tuple[Intrinsics, tuple[str, ...]]:
    path, name = (Path(text), "") if Path(text).is_file() else (Path(text.rpartition(":")[0]), text.rpartition(":")[2])
    if not path.is_file():
        raise MixsteError("cannot tell the camera", found=f"{text}, which is no file", expected=FORMS)
    tree = _toml(path) if path.suffix.lower() == ".toml" else read_yaml(path)
    cameras = {"": tree, **{str(key): value for key, value in tree.items() if isinstance(value, dict)}}
    known = {key: value for key, camera in cameras.items() if (value := _lengths(camera)) is not None}
    if name not in known and (name or len(known) != 1):
        names = ", ".join(sorted(known)) or "none with fx, fy, cx, cy or a matrix"
        raise MixsteError(f"cannot tell the camera in {path}", found=f"{names}", expected=f"{path}:NAME of one")
    chosen = name if name in known else next(iter(known))
    values, said = _checked(known[chosen], text, image_size)
    bent = any(np.any(np.asarray(cameras[chosen].get(key, 0), dtype=object) != 0) for key in BENT)
    return values, (*said, BENDS) if bent else said


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MixsteError(f"cannot read {path}", found=error, expected="a TOML file") from error


def _lengths(camera: dict[str, Any]) -> Intrinsics | None:
    matrix = next((camera[key] for key in MATRICES if key in camera), None)
    try:
        if matrix is None:
            return float(camera["fx"]), float(camera["fy"]), float(camera["cx"]), float(camera["cy"])
        return float(matrix[0][0]), float(matrix[1][1]), float(matrix[0][2]), float(matrix[1][2])
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _checked(values: Intrinsics, text: str, image_size: tuple[float, float]) -> tuple[Intrinsics, tuple[str, ...]]:
    fx, fy, cx, cy = values
    if not (np.isfinite(values).all() and fx > 0 and fy > 0):
        raise MixsteError("these are no camera's", found=text, expected=FORMS)
    width, height = image_size
    if 0 <= cx <= width and 0 <= cy <= height:
        return values, ()
    axis = (
        f"The camera's axis, {cx:g}, {cy:g}, is outside of the picture, {width:g} x {height:g}: is it of another size?"
    )
    return values, (axis,)
