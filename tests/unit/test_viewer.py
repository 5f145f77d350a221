"""The page of a motion: what it holds, how exact and how large that is, and what it refuses."""

import argparse
import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixste.commands import view as view_command
from mixste.errors import MixsteError
from mixste.motion import Motion
from mixste.viewer import write_html
from mixste.viewer.packing import pack


def joints(frames: int = 20, seed: int = 0) -> np.ndarray:
    """Return a wandering body (t 17 3), metres."""
    random = np.random.default_rng(seed)
    return (random.normal(0, 0.5, (17, 3)) + random.normal(0, 0.01, (frames, 17, 3)).cumsum(0)).astype(np.float32)


def unpacked(packed: dict[str, Any]) -> np.ndarray:
    """What viewer.js makes of packed numbers: (t width), NaN for what is absent."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8).reshape(4, -1)
    zigzag = sum(plane.astype(np.int64) << 8 * byte for byte, plane in enumerate(planes))
    changes = (zigzag >> 1) ^ -(zigzag & 1)
    counts = changes.reshape(packed["width"], -1).cumsum(axis=1).astype(np.int32).T
    return np.where(counts == -(2**31), np.nan, counts * packed["step"])


def scene(page: Path) -> dict[str, Any]:
    return json.loads(re.search(r'type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)[1])


@pytest.mark.parametrize("far", [0.0, 5000.0, -800_000.0])
def test_numbers_come_back_within_half_a_step_wherever_they_are(far):
    values = joints(200).astype(float) + far
    found = unpacked(pack(values, 4e-4))
    assert np.abs(found - values.reshape(200, -1)).max() <= 2e-4 + 1e-9


def test_what_is_absent_stays_absent_and_spoils_nothing_after_it():
    values = joints(9).astype(float)
    values[[0, 4, 5], 3] = np.nan
    values[2, 6, 1] = np.inf
    found, wanted = unpacked(pack(values, 4e-4)), np.where(np.isfinite(values), values, np.nan).reshape(9, -1)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    assert np.nanmax(np.abs(found - wanted)) <= 2e-4 + 1e-9


def test_numbers_that_are_too_large_are_refused():
    with pytest.raises(MixsteError, match="1e\\+09"):
        pack(np.array([[1e9]]), 4e-4)


def test_the_camera_sees_down_as_down_and_a_world_stays_as_it_is(tmp_path):
    pose = joints(1)
    x, y, z = pose[0].T
    for frame, wanted in {"camera": (x, z, -y), "world": (x, y, z)}.items():
        found = scene(write_html(tmp_path / "a.html", Motion(pose, "h36m17", 50.0, frame=frame)))
        shown = unpacked(found["motion"]).reshape(17, 3)
        np.testing.assert_allclose(shown, np.stack(wanted, axis=1), atol=3e-4)
        np.testing.assert_allclose(pose[0] @ np.array(found["axes"]), shown, atol=3e-4)


def test_the_same_motion_gives_the_same_bytes_and_hours_stay_small(tmp_path):
    truth = joints(10_000)
    motion = Motion(truth + joints(10_000, seed=1) / 50, "h36m17", 50.0)
    pages = [
        write_html(tmp_path / name, motion, keypoints=truth, truth=truth, title="long") for name in ("a.html", "b.html")
    ]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert pages[0].stat().st_size < 2.5e6
    assert write_html(tmp_path / "c.html", motion).stat().st_size < 1e6


def test_a_motion_at_the_origin_is_compared_with_a_ground_truth_there(tmp_path):
    truth = joints() + np.float32([1, 2, 30])
    for rooted in (True, False):
        page = write_html(tmp_path / "a.html", Motion(joints(), "h36m17", 50.0, rooted=rooted), truth=truth)
        found = unpacked(scene(page)["truth"]).reshape(20, 17, 3)
        assert (np.abs(found[:, 0]).max() < 1e-9) == rooted


def test_keypoints_that_nobody_saw_are_absent(tmp_path):
    keypoints = np.full((20, 17, 3), 0.5) * (640, 480, 1) + joints()
    keypoints[3, 5] = 0
    keypoints[4, 6, :2] = np.nan
    keypoints[..., 2] = np.clip(keypoints[..., 2], 0, 1)
    page = write_html(
        tmp_path / "a.html", Motion(joints(), "h36m17", 50.0), keypoints=keypoints, keypoint_skeleton="coco17"
    )
    found = scene(page)["input"]
    points = unpacked(found["points"]).reshape(20, 17, 2)
    seen = np.isfinite(keypoints[..., 0]) & (keypoints[..., 2] > 0)
    np.testing.assert_array_equal(np.isnan(points[..., 0]), ~seen)
    assert found["joints"][0] == "nose"
    assert max(found["size"]) < 10, "an absent keypoint at 0, 0 does not stretch the picture"


def test_no_title_and_no_name_can_end_the_script_or_start_another(tmp_path):
    bad = "</script><script>alert(1)</script><!--<script>&\"'$policy"
    plain, page = (
        write_html(tmp_path / "a.html", Motion(joints(), "h36m17", 50.0, report=(text,)), title=text).read_text()
        for text in ("plain", bad)
    )
    for token in ("<script", "</script", "<!--"):
        assert page.count(token) == plain.count(token)
    assert "$policy" in page
    assert "http" not in re.sub(r"http-equiv", "", page)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"truth": joints(19)}, "the ground truth"),
        ({"keypoints": joints(20)[..., 0]}, "the 2D input"),
        ({"keypoints": joints(20), "keypoint_skeleton": "body25"}, r"\(20, 25, 3\)"),
    ],
)
def test_what_does_not_fit_the_motion_is_refused_and_nothing_is_written(tmp_path, wrong, message):
    with pytest.raises(MixsteError, match=message):
        write_html(tmp_path / "a.html", Motion(joints(), "h36m17", 50.0), **wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def view(monkeypatch):
    """Run `mixste view` where the files a.npz, b.npz and slow.npz hold motions."""
    motions = {name: Motion(joints(), "h36m17", fps) for name, fps in (("a", 50.0), ("b", 50.0), ("slow", 25.0))}
    motions["far"] = Motion(joints() + np.float32([1, 2, 30]), "h36m17", 50.0, rooted=False)
    motions["short"] = Motion(joints(19), "h36m17", 50.0)
    monkeypatch.setattr(Motion, "load", lambda path: motions[path.stem], raising=False)

    def run(*arguments: str) -> None:
        parser = argparse.ArgumentParser()
        view_command.add(parser.add_subparsers())
        options = parser.parse_args(["view", *arguments])
        options.run(options)

    return run


def test_view_writes_the_page_beside_the_file_or_where_it_is_told(view, tmp_path):
    view(str(tmp_path / "a.npz"))
    view(str(tmp_path / "a.npz"), "-o", str(tmp_path / "new/page.html"), "--truth", str(tmp_path / "b.npz"))
    assert "truth" not in scene(tmp_path / "a.html")
    assert "truth" in scene(tmp_path / "new/page.html")
    assert "<h1>a</h1>" in (tmp_path / "a.html").read_text()


def test_view_refuses_a_ground_truth_of_another_rate(view, tmp_path):
    with pytest.raises(MixsteError, match=r"fps 25\.0, not 50\.0"):
        view(str(tmp_path / "a.npz"), "--truth", str(tmp_path / "slow.npz"))


def test_view_refuses_a_ground_truth_of_other_frames(view, tmp_path):
    for name in ("a", "far"):
        with pytest.raises(MixsteError, match="frames 19, not 20"):
            view(str(tmp_path / f"{name}.npz"), "--truth", str(tmp_path / "short.npz"))


def test_view_draws_a_ground_truth_at_the_origin_where_the_motion_is(view, tmp_path):
    view(str(tmp_path / "far.npz"), "--truth", str(tmp_path / "b.npz"))
    found = scene(tmp_path / "far.html")
    truth, motion = (unpacked(found[name]).reshape(20, 17, 3) for name in ("truth", "motion"))
    np.testing.assert_allclose(truth, motion, atol=1e-3)
    assert found["report"] == ["The ground truth is relative to its root: it is shown where the motion's root is."]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("page.pdf", "found: .pdf; expected: .html"),
        ("page", "found: no ending"),
        ("folder.html", "found: a folder"),
        ("file/page.html", "which is no folder"),
    ],
)
def test_view_refuses_a_page_that_is_none_before_it_reads(view, tmp_path, output, message):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(MixsteError, match=message):
        view(str(tmp_path / "absent.npz"), "-o", str(tmp_path / output))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.html"]
