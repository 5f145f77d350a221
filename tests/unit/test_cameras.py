"""Rigs: the one that is delivered, a user's own, and wrong ones."""

import numpy as np
import pytest
import yaml

from mixste.cameras import FOLDER, load_rig
from mixste.errors import MixsteError


@pytest.fixture
def tree():
    return yaml.safe_load((FOLDER / "h36m.yaml").read_text())


def saved(tmp_path, tree):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_h36m_intrinsics_are_the_known_ones():
    found = np.array([camera.intrinsics[:4] for camera in load_rig("h36m").cameras])
    focal = [(2.2901, 2.2876), (2.2994, 2.2952), (2.2983, 2.2976), (2.2910, 2.2895)]
    centre = [(0.0251, 0.0289), (0.0177, 0.0161), (0.0396, 0.0028), (0.0299, 0.0018)]
    np.testing.assert_allclose(found, np.hstack([focal, centre]), atol=6e-5)


def test_the_cameras_look_at_a_person_in_the_centre():
    rig = load_rig("h36m")
    person = np.array([[*rig.centre, height] for height in (0.0, 0.9, 1.8)])
    for camera in rig.cameras:
        screen, points = camera.see(person)
        assert (np.abs(screen) < 0.8).all()
        assert (points[:, 2] > 3).all()
        assert screen[0, 1] > screen[2, 1]  # feet are below the head, and Y points down


def test_a_users_own_rig(tmp_path, tree):
    tree["name"], tree["cameras"] = "mine", tree["cameras"][:1]
    rig = load_rig(saved(tmp_path, tree))
    assert rig.name == "mine"
    assert rig.cameras == load_rig("h36m").cameras[:1]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("focal", [1145.0], r"54138969\.focal.*2 numbers"),
        ("radial", ["a", 0, 0], r"54138969\.radial.*3 numbers"),
        ("translation", [0, 0, float("nan")], r"54138969\.translation"),
        ("orientation", [1, 1, 0, 0], r"54138969\.orientation.*length 1\.41421"),
        ("name", "55011271", "every name once"),
        ("zoom", 2, "the keys"),
    ],
)
def test_a_wrong_camera_is_refused_by_name(tmp_path, tree, key, value, message):
    tree["cameras"][0][key] = value
    with pytest.raises(MixsteError, match=message):
        load_rig(saved(tmp_path, tree))


def test_a_wrong_file(tmp_path):
    with pytest.raises(MixsteError, match=r"h36m, or a path"):
        load_rig("panoptic")
    with pytest.raises(MixsteError, match="the keys name and cameras"):
        load_rig(saved(tmp_path, {"name": "x"}))
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(MixsteError, match=r"cannot read .*bad\.yaml"):
        load_rig(tmp_path / "bad.yaml")
    with pytest.raises(MixsteError, match="one camera or more"):
        load_rig(saved(tmp_path, {"name": "x", "cameras": []}))
