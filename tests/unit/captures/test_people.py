import numpy as np
import pytest

from mixste.captures.people import Figure, legs_of, measure
from mixste.skeleton import load_skeleton
from tests.unit.dataset_files import FIGURE, walk

SKELETON = load_skeleton("h36m17")
LENGTH = np.linalg.norm(np.diff(FIGURE[1:4], axis=0), axis=1).sum()


def test_legs_are_those_of_the_figure_wherever_it_goes():
    assert measure(walk(50), SKELETON).legs == pytest.approx(LENGTH, abs=1e-5)
    assert measure(0.5 * walk(50), SKELETON).legs == pytest.approx(LENGTH / 2, abs=1e-5)


def test_frames_that_are_no_numbers_do_not_count():
    joints = walk(20)
    joints[:12] = np.nan
    figure = measure(joints, SKELETON)
    assert figure.legs == pytest.approx(LENGTH, abs=1e-5)


@pytest.mark.parametrize("joints", [walk(20) * np.nan, walk(0)])
def test_of_no_frame_nothing_is_known(joints):
    assert measure(joints, SKELETON) == Figure()
    assert legs_of([Figure()]) is None


def test_a_skeleton_without_legs_shows_nothing():
    assert measure(np.ones((5, 31, 3)), load_skeleton("cmu_amc")) == Figure()


def test_a_person_is_the_median_file():
    assert legs_of([Figure(0.8), Figure(0.5), Figure(0.82), Figure()]) == 0.8
