"""DeepLabCut, SLEAP, Lightning Pose and NWB, by the library movement (the extra of that name), which reads them all.

Its keypoints have names, which tell the layout: `left_shoulder`, `LShoulder` and `shoulder_l` are `l_shoulder`.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from mixste.detections.formats.found import RECOPY, Found
from mixste.detections.layouts import LAYOUTS
from mixste.errors import MixsteError
from mixste.skeleton import known_skeletons, load_skeleton

NEEDS = "in mixste's checkout: pip install -e '.[movement]'"
DIMENSIONS = ("time", "individuals", "keypoints")
_SIDES = {"left": "l", "l": "l", "right": "r", "r": "r"}


def read(path: Path, named: str | None) -> Found:
    """Return the people of such a file; MixsteError if movement is missing, cannot read it, or names tell no layout."""
    try:
        from movement.io import load_dataset
        from movement.utils.logging import logger
    except ImportError as error:
        found, expected = "no library movement", "the extra movement, which reads DeepLabCut, SLEAP and others"
        raise MixsteError(f"cannot read {path}", found=found, expected=expected, mend=NEEDS) from error
    kind = _kind(path)
    logger.disable("movement")  # it would say what is wrong a second time
    try:
        dataset = load_dataset(path, source_software=kind)
    except Exception as error:  # whatever its readers raise
        found = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise MixsteError(f"cannot read {path}", found=found, expected=f"a file of {kind}", mend=RECOPY) from error
    return from_dataset(dataset, path, named, kind)


def from_dataset(dataset: Any, path: Path, named: str | None, kind: str = "movement") -> Found:
    """Return the people of movement's poses, an xarray Dataset of `position` and `confidence`, in a layout.

    The layout is `named`, or the one that the keypoints' names tell. MixsteError if none has such joints.
    """
    if "position" not in dataset or set(dataset.position.dims) != {*DIMENSIONS, "space"}:
        found = ", ".join(f"{name} {variable.dims}" for name, variable in dataset.data_vars.items())
        raise MixsteError(f"there are no poses in {path}", found=found, expected=f"position {(*DIMENSIONS, 'space')}")
    space = [str(name) for name in dataset.space.values]
    if space != ["x", "y"]:
        raise MixsteError(f"{path} holds no 2D poses", found=f"axes {', '.join(space)}", expected="x, y in pixels")
    places = dataset.position.transpose(*DIMENSIONS, "space").values.astype(np.float64)
    confidence = dataset.confidence.transpose(*DIMENSIONS).values.astype(np.float64)
    there = np.isfinite(places).all(axis=-1)
    confidence = np.where(there, np.where(np.isnan(confidence), 1.0, confidence), 0.0)
    names = [str(name) for name in dataset.keypoints.values]
    layout, columns, said = _layout(names, named, path)
    people = np.concatenate([np.where(there[..., None], places, 0.0), confidence[..., None]], axis=-1)
    joints = np.zeros((*people.shape[:2], len(columns), 3))
    kept = [joint for joint, column in enumerate(columns) if column is not None]
    joints[:, :, kept] = people[:, :, [column for column in columns if column is not None]]
    frames = np.arange(len(joints))
    fps = dataset.attrs.get("fps")
    return Found(
        f"{kind} by movement",
        joints.reshape(-1, *joints.shape[2:]),
        np.repeat(frames, joints.shape[1]),
        frames,
        skeleton=layout,
        fps=float(fps) if fps else None,
        report=said,
    )


def _kind(path: Path) -> str:
    """Return whose file it is, in movement's words."""
    import h5py

    if not h5py.is_hdf5(path):
        with path.open("rb") as file:
            return "LightningPose" if b"heatmap_tracker" in file.readline() else "DeepLabCut"
    with h5py.File(path, "r") as file:
        if "nwb_version" in file.attrs:
            return "NWB"
        return (
            "SLEAP" if {"node_names", "tracks"} <= set(file) or {"instances", "frames"} <= set(file) else "DeepLabCut"
        )


def _layout(names: list[str], named: str | None, path: Path) -> tuple[str, list[int | None], tuple[str, ...]]:
    """Return a layout, of each of its joints which keypoint it is (None: none is), and sentences on it."""
    known = {plain(name): index for index, name in enumerate(names)} | {name: n for n, name in enumerate(names)}
    layout = named or _fitting(set(known), {plain(name) for name in names})
    joints = load_skeleton(layout).joints if layout else ()
    columns = [known.get(joint) for joint in joints]
    if layout is None or not any(column is not None for column in columns):
        raise MixsteError(
            f"cannot tell the layout of {path}",
            found=f"keypoints {', '.join(names)}",
            expected=f"names as those of {named}" if named else "the joints of a layout in mixste/skeletons",
            mend="describe them in a YAML file and give it as the skeleton (docs/my-own-detector.md)",
        )
    said = [f"keypoints were taken by their names as {layout}"]
    lacking = [joint for joint, column in zip(joints, columns, strict=True) if column is None]
    others = [name for index, name in enumerate(names) if index not in columns]
    said += [f"no keypoint for {', '.join(lacking)}"] if lacking else []
    said += [f"{', '.join(others)} are left out"] if others else []
    return layout, columns, tuple(said)


def _fitting(names: set[str], plainly: set[str]) -> str | None:
    """Return the largest layout whose joints are all there, or else a detector's smallest that has all that are."""
    layouts = [load_skeleton(name) for name in known_skeletons()]
    whole = [one for one in layouts if names.issuperset(one.joints)]
    if whole:
        return max(whole, key=lambda one: len(one.joints)).name
    part = [one for one in layouts if one.name in LAYOUTS.values() and plainly <= set(one.joints)]
    return min(part, key=lambda one: len(one.joints)).name if part else None


def plain(name: str) -> str:
    """Return a keypoint's name as layouts write it: `leftShoulder` and `shoulder_l` are l_shoulder."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]
    sides = [_SIDES[word] for word in words if word in _SIDES]
    return "_".join([*sides[:1], *(word for word in words if word not in _SIDES)])
