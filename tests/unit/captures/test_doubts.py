import pytest

from mixste.captures.doubts import check_axis, check_unit, described, doubt_rate, doubts
from mixste.captures.people import AXES, Figure
from mixste.captures.source import Source
from mixste.errors import MixsteError
from mixste.joint_maps import load_joint_map

CMU = 0.0254 / 0.45


def source(**changed):
    settings = {"name": "own", "format": "bvh", "joint_map": load_joint_map("h36m17"), "metres_per_unit": CMU}
    return Source(**settings | {"up": "z"} | changed)


def lying(legs=0.84, **frames):
    """A figure whose trunk points along axes in so many frames: `y=90, _y=10`; `_` stands for the minus."""
    return Figure(legs, tuple(frames.get(axis.replace("-", "_"), 0) for axis in AXES))


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
    found = [str(doubt) for doubt in doubts(source(), "S1", [lying(legs, z=9)] * 3)]
    assert [text.startswith("own-S1 has not an adult's legs") for text in found] == [True] * odd
    assert all("metres_per_unit" in text for text in found)


@pytest.mark.parametrize(
    ("up", "figure", "mend"),
    [
        ("z", lying(y=96, z=2, x=2), "set up: y"),
        ("y", lying(z=96, y=2, x=2), "set up: z"),
        ("z", lying(_z=100), "turn the files so that people stand along y or z"),
        ("y", lying(_z=100), "turn the files"),
    ],
)
def test_a_wrong_vertical_axis_is_refused_with_the_right_one(up, figure, mend):
    wrong = source(up=up)
    with pytest.raises(MixsteError, match=f"vertical axis of source own is wrong.*{mend}.*upright: false"):
        check_axis(wrong, [figure])
    check_axis(source(up=up, upright=False), [figure])


@pytest.mark.parametrize(
    "figures",
    [
        [lying(z=97, y=3)],
        [lying(y=90, x=10), lying(z=400)],  # one file of somebody who lies
        [lying(y=40, x=30, _y=30)],  # somebody who rolls on the floor
        [Figure()],
    ],
)
def test_a_source_is_judged_by_all_its_files(figures):
    check_axis(source(), figures)


@pytest.mark.parametrize("frames", [{"z": 31, "y": 45, "x": 24}, {"z": 40, "y": 35, "x": 25}])
def test_a_subject_that_is_seldom_upright_is_doubted(frames):
    floor = [lying(**frames)]
    [doubt] = doubts(source(), "S1", floor)
    found = f"hips to shoulders along z, which is called up, in {frames['z']}% of frames, along y in {frames['y']}%"
    assert f"own-S1 is seldom upright; found: {found}" in str(doubt)
    assert "if z is not vertical in these files, set up: y" in str(doubt)
    assert not [*doubts(source(upright=False), "S1", floor)]
    assert not [*doubts(source(), "S1", [lying(z=60, y=40)])]


@pytest.mark.parametrize(("fast", "files", "odd"), [(11, 256, False), (84, 256, True), (2, 2, False), (3, 3, True)])
def test_a_frame_rate_is_doubted_if_many_files_are_too_fast(fast, files, odd):
    found = [str(doubt) for doubt in doubt_rate(source(fps=120.0), fast, files)]
    assert [f"found: {fast} of {files} files" in text for text in found] == [True] * odd
    assert all("correct the frame rate, fps of source own, now 120" in text for text in found)


def test_what_the_report_says_of_a_subject():
    assert described(source(), [lying(0.8404, z=3, y=1)]) == {"legs": 0.84, "upright": 0.75}
    assert described(source(), [Figure()]) == {"legs": None, "upright": None}
