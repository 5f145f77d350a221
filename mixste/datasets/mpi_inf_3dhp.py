"""MPI-INF-3DHP: training videos as P-STMO's `data_train_3dhp.npz` has them, test sequences from its npz or as HDF5.

Joints are `univ_annot3`, scaled to one height, in camera axes, millimetres. So their scale is not that of the 2D, which
is the ground truth's: the protocol of P-STMO and STCFormer, whose numbers cannot stand beside those on `annot3`.
Training videos have 25 or 50 frames a second and are mixed as they are, like those authors do.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mixste.datasets.clip import Clip, DataSet, Reading, check_order
from mixste.datasets.videopose import on_screen, read_object
from mixste.errors import MixsteError
from mixste.joint_maps import JointMap, map_skeleton
from mixste.skeleton import load_skeleton

LAYOUT = load_skeleton("mpi17")
CAMERAS = ("0", "1", "2", "4", "5", "6", "7", "8")  # of 14, the ones that the authors train on
SIZE = (2048.0, 2048.0)
SIZES = {"TS5": (1920.0, 1080.0), "TS6": (1920.0, 1080.0)}  # all others: SIZE


def read(data: DataSet, subject: str) -> Reading:
    """Return the videos of a training subject (S1) or a test sequence (TS1); MixsteError if it is missing.

    A `*` in the name of the test sequences' file stands for the sequence.
    """
    test = subject.startswith("TS")
    path = Path(str(data.files[test]).replace("*", subject))
    joint_map = map_skeleton(LAYOUT.name, data.skeleton)
    clips = [_test_clip(path, subject, joint_map)] if test else [*_training_clips(path, subject, joint_map)]
    return Reading(tuple(clips), joint_map.report())


def _training_clips(path: Path, subject: str, joint_map: JointMap) -> Iterator[Clip]:
    sequences = _dictionary(read_object(path, "data"), path)
    own = {name: value for name, value in sequences.items() if name.split()[0] == subject}
    if not own:
        raise MixsteError(f"no subject {subject} in {path}", found=", ".join(sequences))
    for name, value in own.items():
        cameras = _dictionary(value[0], path)
        missing = [camera for camera in CAMERAS if camera not in cameras]
        if missing:
            found = f"cameras {', '.join(cameras)}"
            raise MixsteError(f"cameras of {name} are missing in {path}", found=found, expected=", ".join(CAMERAS))
        action = name.split(maxsplit=1)[-1]
        for camera in CAMERAS:
            values = _dictionary(cameras[camera], path)
            keypoints, joints = _poses(values, SIZE, joint_map, f"{name}, camera {camera} of {path}")
            yield Clip(name, subject, action, camera, keypoints, joints)


def _test_clip(path: Path, subject: str, joint_map: JointMap) -> Clip:
    if path.suffix == ".mat":
        sequence = _annotations(path)
    else:
        sequences = _dictionary(read_object(path, "data"), path)
        if subject not in sequences:
            raise MixsteError(f"no test sequence {subject} in {path}", found=", ".join(sequences))
        sequence = _dictionary(sequences[subject], path)
    what = f"{subject} of {path}"
    keypoints, joints = _poses(sequence, SIZES.get(subject, SIZE), joint_map, what)
    valid = np.asarray(_value(sequence, "valid", what)).reshape(-1) != 0
    return Clip(subject, subject, subject, "test", keypoints, joints, valid)


def _poses(
    values: dict[str, Any], size: tuple[float, ...], joint_map: JointMap, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return keypoints (t j 3) in screen units with confidence 1, and joints (t j 3) in metres."""
    pixels, joints = (np.asarray(_value(values, key, what), np.float32) for key in ("data_2d", "data_3d"))
    for found, channels in ((pixels, 2), (joints, 3)):
        if found.shape[1:] != (len(LAYOUT.joints), channels):
            expected = f"(frames, {len(LAYOUT.joints)}, {channels})"
            raise MixsteError(f"cannot use {what}", found=f"shape {found.shape}", expected=expected)
    if len(pixels) != len(joints):
        found_, expected = f"{len(pixels)} frames of 2D for {len(joints)} of 3D", "one of 2D for each of 3D"
        raise MixsteError(f"2D and 3D are not of one length in {what}", found=found_, expected=expected)
    check_order(joints, LAYOUT, what)
    screen = joint_map.apply_keypoints(LAYOUT.joints, on_screen(pixels, size))
    return screen, joint_map.apply(LAYOUT.joints, joints / np.float32(1000))


def _annotations(path: Path) -> dict[str, Any]:
    """Return data_2d, data_3d and valid of a test sequence's annot_data.mat, which is HDF5; one person a frame."""
    try:
        import h5py
    except ImportError as error:
        raise MixsteError(f"cannot read {path}", found="no h5py", mend="pip install 'mixste[mat]'") from error
    keys = {"data_2d": "annot2", "data_3d": "univ_annot3", "valid": "valid_frame"}
    try:
        with h5py.File(path) as file:
            missing = [key for key in keys.values() if key not in file]
            if missing:
                raise MixsteError(f"cannot use {path}", found=f"no {', '.join(missing)} among {', '.join(file)}")
            return {name: np.asarray(file[key])[:, 0] for name, key in keys.items()}
    except OSError as error:
        raise MixsteError(f"cannot read {path}", found=error, expected="HDF5, one test sequence") from error


def _dictionary(tree: Any, path: Path) -> dict[str, Any]:
    tree = tree.item() if isinstance(tree, np.ndarray) and tree.ndim == 0 else tree
    if not isinstance(tree, dict):
        raise MixsteError(f"cannot use {path}", found=type(tree).__name__, expected="a dictionary")
    return tree


def _value(values: dict[str, Any], key: str, what: str) -> Any:
    if key not in values:
        raise MixsteError(f"cannot use {what}", found=", ".join(values), expected=key)
    return values[key]
