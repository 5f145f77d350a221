"""The camera as a user says it, and the pixels of the motion's own joints."""

import json

import numpy as np
import pytest

from mixste.errors import MixsteError
from mixste.lifting.camera import BENDS, pixels_of, read_camera
from mixste.lifting.trajectory import reprojection
from mixste.motion import Motion
from mixste.skeleton import load_skeleton
from tests.unit.motions import camera

SIZE = (1920, 1080)
MATRIX = [[1450.5, 0, 950], [0, 1460, 530], [0, 0, 1]]
KNOWN = (1450.5, 1460.0, 950.0, 530.0)


def written(path, text):
    path.write_text(text)
    return str(path)


def test_numbers_an_angle_and_files_say_the_same_camera(tmp_path):
    files = [
        written(tmp_path / "a.json", json.dumps(dict(zip(("fx", "fy", "cx", "cy"), KNOWN, strict=True)))),
        written(tmp_path / "b.yaml", f"camera_matrix: {MATRIX}\n"),
        written(
            tmp_path / "c.toml", f"[cam_01]\nmatrix = {MATRIX}\ndistortions = [0.0, 0.0]\n[metadata]\nerror = 0.1\n"
        ),
    ]
    for text in ("1450.5,1460,950,530", *files, f"{files[2]}:cam_01"):
        assert read_camera(text, SIZE) == (KNOWN, ())
    (fx, fy, cx, cy), said = read_camera("90deg", SIZE)
    np.testing.assert_allclose((fx, fy, cx, cy), (960, 960, 960, 540))
    assert "taken for square" in said[0]


def test_what_is_not_certain_of_a_camera_is_said(tmp_path):
    bent = written(tmp_path / "a.yaml", f"K: {MATRIX}\ndist_coeffs: [[0.1, 0, 0]]\n")
    assert read_camera(bent, SIZE) == (KNOWN, (BENDS,))
    (sentence,) = read_camera("1450,1450,950,530", (640, 480))[1]
    assert sentence == "The camera's axis, 950, 530, is outside of the picture, 640 x 480: is it of another size?"


def test_a_camera_that_cannot_be_is_one_error(tmp_path):
    two = written(tmp_path / "two.toml", f"[a]\nmatrix = {MATRIX}\n[b]\nmatrix = {MATRIX}\n")
    for text, message in [
        ("1450,1450,950", "found: 1450,1450,950, which is no file; expected: FX,FY,CX,CY in pixels"),
        ("a,b,c,d", "cannot tell the camera; found: a,b,c,d"),
        ("0,1,2,3", "these are no camera's; found: 0,1,2,3"),
        ("200deg", "no camera sees so; found: 200 degrees"),
        ("widedeg", "found: widedeg"),
        (two, r"found: a, b; expected: .*two\.toml:NAME of one"),
        (f"{two}:c", "found: a, b;"),
        (written(tmp_path / "bad.toml", "[a"), "expected: a TOML file"),
        (written(tmp_path / "none.yaml", "a: 1"), "found: none with fx, fy, cx, cy or a matrix"),
    ]:
        with pytest.raises(MixsteError, match=message):
            read_camera(text, SIZE)


def test_a_motion_is_found_where_its_pixels_say_that_it_is():
    motion: Motion = camera(frames=slice(0, 40))
    path = np.stack([np.linspace(-0.5, 0.5, 40), np.full(40, 0.2), np.full(40, 4.0)], axis=-1)
    absolute = motion.joints + path[:, None]
    focal, centre = np.array(KNOWN[:2]), np.array(KNOWN[2:])
    pixels = absolute[..., :2] / absolute[..., 2:] * focal + centre
    keypoints = np.concatenate([pixels, np.ones((*pixels.shape[:2], 1))], axis=-1)
    keypoints[5, :8, :2], keypoints[5, :8, 2] = 0, 0.01  # below the threshold
    own = pixels_of(keypoints, "h36m17", motion.skeleton, 0.05)
    assert not own[5, :8].any()
    located = motion.located(own, KNOWN)
    np.testing.assert_allclose(located.joints[:, 0], path, atol=1e-3)
    assert reprojection(located.joints.astype(float), pixels, focal, centre).max() < 0.5
    assert "reprojection error" in located.report[-1]


def test_the_pixels_of_another_layout_are_mapped_and_missing_ones_stay_missing():
    keypoints = np.ones((2, 17, 3)) * (300, 400, 0.9)
    skeleton = load_skeleton("coco17")
    keypoints[:, skeleton.index("l_hip")] = (100, 200, 0.9)
    keypoints[:, skeleton.index("l_wrist")] = (50, 60, 0.01)
    own = pixels_of(keypoints, "coco17", "h36m17", 0.05)
    target = load_skeleton("h36m17")
    np.testing.assert_allclose(own[0, target.index("hip")], (200, 300, 0.9), rtol=1e-6)
    assert not own[:, target.index("l_wrist")].any()
