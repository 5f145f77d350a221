import numpy as np
import pytest

from mixste.captures.people import AXES, Figure, legs_of, measure, trunk_of
from mixste.captures.source import UPRIGHT
from mixste.skeleton import load_skeleton
from tests.unit.dataset_files import FIGURE, walk

SKELETON = load_skeleton("h36m17")
LENGTH = np.linalg.norm(np.diff(FIGURE[1:4], axis=0), axis=1).sum()


def test_legs_are_those_of_the_figure_wherever_it_goes():
    assert measure(walk(50), SKELETON, np.eye(3)).legs == pytest.approx(LENGTH, abs=1e-5)
    assert measure(0.5 * walk(50), SKELETON, np.eye(3)).legs == pytest.approx(LENGTH / 2, abs=1e-5)


@pytest.mark.parametrize("up", UPRIGHT)
@pytest.mark.parametrize("axis", AXES)
def test_trunks_are_counted_along_the_axes_of_the_file(axis, up):
    joints = np.zeros((10, 17, 3))
    sides = [SKELETON.index(f"{side}_shoulder") for side in "lr"]
    joints[:, sides, AXES.index(axis) % 3] = -0.5 if axis[0] == "-" else 0.5
    figure = measure(joints @ UPRIGHT[up].T, SKELETON, UPRIGHT[up])
    assert trunk_of([figure]) == {axis: 1.0} | dict.fromkeys(set(AXES) - {axis}, 0.0)
    assert next(iter(trunk_of([figure]))) == axis


def test_frames_that_are_no_numbers_do_not_count():
    joints = walk(20)
    joints[:12] = np.nan
    figure = measure(joints, SKELETON, np.eye(3))
    assert figure.legs == pytest.approx(LENGTH, abs=1e-5)
    assert sum(figure.trunk) == 8


@pytest.mark.parametrize("joints", [walk(20) * np.nan, walk(0)])
def test_of_no_frame_nothing_is_known(joints):
    assert measure(joints, SKELETON, np.eye(3)) == Figure()
    assert legs_of([Figure()]) is None
    assert trunk_of([Figure()]) == {}


def test_a_skeleton_without_legs_or_shoulders_shows_nothing():
    assert measure(np.ones((5, 31, 3)), load_skeleton("cmu_amc"), np.eye(3)) == Figure()


def test_a_person_is_the_median_file_and_all_frames():
    figures = [Figure(0.8, (0, 0, 90, 0, 0, 0)), Figure(0.5, (10, 0, 0, 0, 0, 0)), Figure(0.82), Figure()]
    assert legs_of(figures) == 0.8
    assert trunk_of(figures)["z"] == 0.9
    assert list(trunk_of(figures))[:2] == ["z", "x"]
