"""Figures are written whole, with the same bytes each time, and show what they are given."""

from functools import partial

import numpy as np
import pytest

from mixste.drawing import clip_gif, label_efficiency, learning_curves, pareto, per_action, per_joint, turned
from mixste.skeleton import load_skeleton

HISTORIES = {
    "from scratch": {"epoch": [1, 2, 3], "validation_mpjpe": [150.0, 120.0, 125.0]},
    "pre-trained": {"epoch": [1, 2, 3], "validation_mpjpe": [110.0, float("nan"), 95.0]},
}
TABLE = {"from scratch": {"walking": 80.0, "sitting": 120.0}, "pre-trained": {"walking": 70.0}}
ROWS = [
    {"labels": labels, "arm": arm, "mpjpe": 100.0 + seed}
    for labels in ("a tenth", "all")
    for arm in ("scratch", "pre-trained")
    for seed in range(2)
]
TRIALS = [
    {"trial": n, "parameters": size, "macs": 9 * size, "validation_mpjpe": error, "early": n == 1}
    | {"on_parameters": n != 1, "on_macs": n == 0}
    for n, (size, error) in enumerate(((5000, 90.0), (9000, 95.0), (40_000, 80.0)))
]


def motion(frames: int = 50) -> np.ndarray:
    """Camera-space poses (t 17 3), metres."""
    still = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 17, 3)) + np.array([0, 0, 4])
    return still + 0.1 * np.sin(np.arange(frames) / 5)[:, None, None]


@pytest.mark.parametrize(
    ("draw", "numbers"),
    [
        (learning_curves, HISTORIES),
        (per_action, TABLE),
        (per_joint, TABLE),
        (label_efficiency, ROWS),
        (partial(pareto, costs={"parameters": "parameters", "macs": "multiply-adds"}), TRIALS),
    ],
)
def test_a_figure_has_the_same_bytes_twice_and_names_no_version(draw, numbers, tmp_path):
    for name in "ab":
        draw(numbers, tmp_path / name, note="synthetic motion, simulated detections")
    first = (tmp_path / "a").read_bytes()
    assert first == (tmp_path / "b").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first
    assert b"atplotlib" not in first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_figure_depends_on_its_note(tmp_path):
    per_joint(TABLE, tmp_path / "a", note="")
    per_joint(TABLE, tmp_path / "b", note="synthetic motion")
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_a_clip_is_light_plays_at_its_speed_and_is_the_same_twice(tmp_path):
    from PIL import Image

    truth = motion()
    for name in "ab":
        clip_gif(truth[..., :2], truth + 0.02, truth, load_skeleton("h36m17"), tmp_path / name, fps=50, title="walking")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size < 1e6
    with Image.open(tmp_path / "a") as image:
        assert image.format == "GIF"
        assert image.n_frames == 13
        assert image.info["duration"] == 80


def test_a_clip_takes_missing_keypoints_and_other_skeletons(tmp_path):
    keypoints, truth = motion(8)[:, :15, :2], motion(8)[:, :15]
    keypoints[3, 4] = np.nan
    clip_gif(keypoints, truth, truth, load_skeleton("humaneva15"), tmp_path / "clip.gif", fps=60)
    assert (tmp_path / "clip.gif").exists()


def test_a_clip_is_drawn_around_the_skeletons_own_root(tmp_path):
    """Where the whole prediction is off by one shift, the figure shows no error, whatever joint is the root."""
    skeleton, truth = load_skeleton("mpi17"), motion(8)
    shifted = truth + np.linspace(0, 1, 8)[:, None, None]
    for name, predicted in (("a", truth), ("b", shifted)):
        clip_gif(truth[..., :2], predicted, truth, skeleton, tmp_path / name, fps=25)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    other = truth.copy()
    other[:, 0] += 0.3  # the top of the head, not the root: all others stay where they are
    clip_gif(truth[..., :2], other, truth, skeleton, tmp_path / "c", fps=25)
    assert (tmp_path / "c").read_bytes() != (tmp_path / "a").read_bytes()


def test_what_is_up_in_the_world_is_up_in_the_clip():
    pose = np.zeros((1, 2, 3))
    pose[0, 1] = (0.0, -1.0, 0.0)  # above the root: the camera's Y points down
    np.testing.assert_allclose(turned(pose, 0, degrees=40.0)[0, 1], (0.0, 1.0), atol=1e-12)
