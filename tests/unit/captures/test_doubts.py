import pytest

from mixste.captures.doubts import check_unit, described, doubts
from mixste.captures.people import Figure
from mixste.captures.source import Source
from mixste.errors import MixsteError
from mixste.joint_maps import load_joint_map

CMU = 0.0254 / 0.45


def source(**changed):
    settings = {"name": "own", "format": "bvh", "joint_map": load_joint_map("h36m17"), "metres_per_unit": CMU}
    return Source(**settings | {"up": "z"} | changed)


@pytest.mark.parametrize("legs", [0.84, 0.49, 1.2])  # an adult, a child of 1.1 m, a giant
def test_everyones_legs_pass(legs):
    check_unit(source(), Figure(legs), "a.bvh")


@pytest.mark.parametrize("factor", [0.45, 1 / 2.54, 1 / 0.45, 2.54, 0.3048, 10, 0.1])
def test_a_unit_of_nobody_is_refused_with_one_that_fits(factor):
    with pytest.raises(MixsteError, match=r"unit of source own is wrong") as caught:
        check_unit(source(metres_per_unit=CMU * factor), Figure(0.84 * factor), "a.bvh")
    assert f"{0.84 * factor:.2f} m from hip over knee to ankle in a.bvh" in str(caught.value)
    assert f"now {CMU * factor:.4g}: about 0.056 makes 0.84 m" in str(caught.value)


@pytest.mark.parametrize(("legs", "odd"), [(0.84, False), (0.62, False), (1.1, False), (0.49, True), (1.2, True)])
def test_legs_that_no_adult_has_are_doubted(legs, odd):
    found = [str(doubt) for doubt in doubts(source(), "S1", [Figure(legs)] * 3)]
    assert [text.startswith("own-S1 has not an adult's legs") for text in found] == [True] * odd
    assert all("metres_per_unit" in text for text in found)


def test_what_the_report_says_of_a_subject():
    assert described([Figure(0.8404)]) == {"legs": 0.84}
    assert described([Figure()]) == {"legs": None}
