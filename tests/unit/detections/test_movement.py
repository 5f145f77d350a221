"""Poses of the library movement, in the schema that it documents: the layout is told by the keypoints' names."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from mixste.detections import read_detections, tracks
from mixste.detections.formats.movement import from_dataset, plain
from mixste.errors import MixsteError
from mixste.skeleton import load_skeleton
from tests.unit.detections.walkers import walker

COCO = load_skeleton("coco17").joints
SPELLED = [name.replace("l_", "left_").replace("r_", "right_") if name != "nose" else name for name in COCO]
PEOPLE = np.stack([walker(12, (200, 300), 5), walker(12, (900, 300), -5, seed=2)], axis=1)  # (12 2 17 3)


def poses(people=PEOPLE, names=SPELLED, *, confidence=True, space=("x", "y"), **attributes) -> xr.Dataset:
    """What movement.io.load_dataset returns: position (time space keypoints individuals), confidence."""
    places = np.zeros((*people.shape[:3], len(space)))
    places[..., :2] = people[..., :2]
    scores = people[..., 2] if confidence else np.full(people.shape[:3], np.nan)
    coordinates = {
        "time": np.arange(len(people)),
        "space": list(space),
        "keypoints": list(names),
        "individuals": [f"id_{index}" for index in range(people.shape[1])],
    }
    data = {
        "position": (tuple(coordinates), places.transpose(0, 3, 2, 1)),
        "confidence": (("time", "keypoints", "individuals"), scores.transpose(0, 2, 1)),
    }
    return xr.Dataset(data, coordinates, {"ds_type": "poses", **attributes})


@pytest.fixture
def library(monkeypatch):
    """A stand-in for movement that gives the poses it is told to, and keeps what it was asked for."""
    package, module, logging = (ModuleType(f"movement{part}") for part in ("", ".io", ".utils.logging"))
    module.given, module.asked = poses(), []

    def load_dataset(path, source_software):
        module.asked.append((path.name, source_software))
        return module.given

    module.load_dataset = load_dataset
    logging.logger = SimpleNamespace(disable=lambda name: None)
    monkeypatch.setitem(sys.modules, "movement.utils.logging", logging)
    monkeypatch.setitem(sys.modules, "movement.utils", ModuleType("movement.utils"))
    monkeypatch.setitem(sys.modules, "movement", package)
    monkeypatch.setitem(sys.modules, "movement.io", module)
    return module


def csv(path, scorer="DLC_resnet50"):
    path.write_text(f"scorer,{scorer},{scorer},{scorer}\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n0,1,2,0.5\n")
    return path


def test_people_of_a_file_become_detections_with_their_joints_by_name(library, tmp_path):
    order = np.random.default_rng(0).permutation(17)
    library.given = poses(PEOPLE[:, :, order], [SPELLED[index] for index in order], fps=25.0)
    found = read_detections(csv(tmp_path / "a.csv"), image_size=(1280, 720))
    assert (found.format, found.skeleton, found.fps) == ("DeepLabCut by movement", "coco17", 25.0)
    assert found.report[0] == "DeepLabCut by movement: 12 frames, 2 people in each"
    assert "keypoints were taken by their names as coco17" in found.report
    np.testing.assert_allclose(np.stack(found.frames), PEOPLE, rtol=1e-5)
    assert len(tracks(found)) == 2
    assert library.asked == [("a.csv", "DeepLabCut")]


def test_whose_file_it_is_is_told_by_what_is_in_it(library, tmp_path):
    import h5py

    read_detections(csv(tmp_path / "l.csv", "heatmap_tracker"))
    for name, keys in {
        "s.h5": ("tracks", "node_names"),
        "s.slp": ("instances", "frames"),
        "d.h5": ("df/table",),
    }.items():
        with h5py.File(tmp_path / name, "w") as file:
            for key in keys:
                file[key] = [0]
        read_detections(tmp_path / name)
    with h5py.File(tmp_path / "n.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.7"
    read_detections(tmp_path / "n.nwb")
    expected = ["LightningPose", "SLEAP", "SLEAP", "DeepLabCut", "NWB"]
    assert [kind for _, kind in library.asked] == expected


def test_what_is_not_there_is_missing_and_without_scores_all_is_sure(tmp_path):
    people = PEOPLE.copy()
    people[3, 1] = np.nan
    found = from_dataset(poses(people, confidence=False), tmp_path / "a.h5", None)
    joints = found.people.reshape(12, 2, 17, 3)
    assert not joints[3, 1].any()
    assert (joints[4, 1, :, 2] == 1).all()
    assert found.fps is None


def test_a_layout_that_lacks_joints_is_recognised_and_the_rest_said(tmp_path):
    names = [*SPELLED[5:], "tail"]
    people = np.concatenate([PEOPLE[:, :, 5:], PEOPLE[:, :, :1]], axis=2)
    with pytest.raises(MixsteError, match=r"cannot tell the layout of .* found: keypoints left_shoulder, .*, tail"):
        from_dataset(poses(people, names), tmp_path / "a.h5", None)
    found = from_dataset(poses(people, names), tmp_path / "a.h5", "coco17")
    assert found.report[1:] == ("no keypoint for nose, l_eye, r_eye, l_ear, r_ear", "tail are left out")
    assert from_dataset(poses(people[:, :, :-1], names[:-1]), tmp_path / "a.h5", None).skeleton == "coco17"
    with pytest.raises(MixsteError, match="expected: names as those of coco17"):
        from_dataset(poses(people[:, :, :2], ["a", "b"]), tmp_path / "a.h5", "coco17")


def test_names_are_read_as_people_write_them():
    written = [
        "leftShoulder",
        "LShoulder",
        "L_Shoulder",
        "left shoulder",
        "shoulder_left",
        "Shoulder-L",
        "RBigToe",
        "Nose",
    ]
    assert [plain(name) for name in written] == ["l_shoulder"] * 6 + ["r_big_toe", "nose"]
    assert [plain(name) for name in COCO] == list(COCO)


def test_what_holds_no_2d_poses_is_one_error(tmp_path):
    with pytest.raises(MixsteError, match="holds no 2D poses; found: axes x, y, z"):
        from_dataset(poses(space=("x", "y", "z")), tmp_path / "a.h5", None)
    with pytest.raises(MixsteError, match=r"there are no poses in .* found: shape"):
        from_dataset(xr.Dataset({"shape": ("time", [1])}), tmp_path / "a.h5", None)


def test_what_movement_cannot_read_is_one_error(library, tmp_path):
    def broken(path, source_software):
        raise ValueError("Unsupported format\nmore")

    library.load_dataset = broken
    with pytest.raises(MixsteError, match="found: ValueError: Unsupported format; expected: a file of DeepLabCut"):
        read_detections(csv(tmp_path / "a.csv"))


def test_without_movement_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "movement", None)
    monkeypatch.setitem(sys.modules, "movement.io", None)
    with pytest.raises(
        MixsteError,
        match=r"expected: the extra movement.*; to mend it: in mixste's checkout: pip install -e '.\[movement\]'",
    ):
        read_detections(csv(tmp_path / "a.csv"))
