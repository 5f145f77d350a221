"""What users hand in by mistake: one clear error, or a fallback that the report states."""

import numpy as np
import pytest
import torch

from mixste.errors import MixsteError
from mixste.lifting.pixels import BLOCK
from tests.unit.lifters import SIZE, lifter, person


@pytest.fixture(scope="module")
def own():
    return lifter()


def lift(own, keypoints, **changes):
    return own.lift(keypoints, **{"skeleton": "h36m17", "fps": 50, "image_size": SIZE, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skeleton": "coco"}, r"unknown layout of keypoints; found: 'coco'; expected: one of .*body25, .*coco17"),
        ({"skeleton": "body25"}, r"shape \(40, 17, 3\).*25 joints of body25.*17 joints is coco17 or .*h36m17"),
        ({"fps": 6000}, "found: fps 6000; expected: 1 to 1000 frames per second"),
        ({"fps": 0}, r"found: fps 0; expected: 1 to 1000 frames per second$"),
        ({"fps": 1 / 30}, r"found: fps 0\.03.*to mend it: 30, if these are the seconds of a frame"),
        ({"fps": float("nan")}, "found: fps nan"),
        ({"fps": -25}, "found: fps -25"),
        ({"fps": None}, "found: fps None"),
        (
            {"image_size": None},
            r"found: no image_size.*these keypoints reach to 5\d\d x 6\d\d",
        ),
        ({"image_size": (0, 10)}, r"found: image_size \(0, 10\)"),
        ({"image_size": 1000}, "found: image_size 1000"),
        ({"threshold": 2}, "found: threshold 2; expected: 0 to 1"),
    ],
)
def test_what_is_said_of_keypoints_must_be_possible(own, changes, message):
    with pytest.raises(MixsteError, match=message):
        lift(own, person(), **changes)


@pytest.mark.parametrize(
    ("keypoints", "message"),
    [
        (person()[0], r"shape \(17, 3\).*one frame is keypoints\[None\]"),
        (person()[:, None], r"shape \(40, 1, 17, 3\).*one person at a time"),
        (person()[:0], "nothing to lift; found: no frames"),
        (person().reshape(40, -1), r"shape \(40, 51\)"),
        (np.zeros((40, 17, 4)), r"shape \(40, 17, 4\)"),
        ([[1, 2], [3]], "no array of numbers"),
        (np.ma.masked_array([["a"]]), "no array of numbers"),
        (np.full((2, 17, 3), "x"), "no array of numbers"),
        (np.zeros((40, 17, 3)), r"nothing to lift; found: no keypoint with confidence 0.05 or more in 40 frames"),
        (np.full((40, 17, 2), np.nan), "nothing to lift; found: no keypoint"),
    ],
)
def test_keypoints_that_cannot_be_lifted_are_refused_with_what_was_expected(own, keypoints, message):
    with pytest.raises(MixsteError, match=message):
        lift(own, keypoints)


def test_normalised_keypoints_are_recognised(own):
    normalised = person() / [*SIZE, 1]
    with pytest.raises(
        MixsteError, match=r"look normalised, not pixels; found: 680 of 680 within 2 of 0, 0; the image is 1000 x 800"
    ):
        lift(own, normalised)
    stray = normalised.copy()
    stray[3, 3, :2] = 400, 300
    with pytest.raises(MixsteError, match=r"look normalised, not pixels; found: 679 of 680"):
        lift(own, stray)
    stray[: len(stray) // 3] = person()[: len(stray) // 3]
    report = lift(own, stray).report
    assert any("of the keypoints lie within 2 pixels of 0, 0: are they normalised?" in sentence for sentence in report)


def test_people_that_are_mixed_are_suspected_where_a_frame_is_far_from_the_one_before(own):
    mixed = person() - [200, 0, 0]
    mixed[1::2, :, 0] += 500
    mixed[4, :5] = 0  # some joints are missing
    assert any(
        "In 39 of 40 frames the person is suddenly elsewhere: if several" in each for each in lift(own, mixed).report
    )
    late = person(BLOCK + 40)
    late[BLOCK:, :, 0] += 400  # at the border of what is looked at together
    assert any(f"In 1 of {BLOCK + 40} frames" in each for each in lift(own, late).report)
    fast = person()
    fast[:, :, 0] += 9 * np.arange(40)[:, None]  # a sprinter of this size, at 50 fps
    assert not any("elsewhere" in each for each in lift(own, fast, image_size=(4000, 800)).report)


def test_swapped_coordinates_are_recognised_where_they_leave_the_image(own):
    wide = person() * [1, 0.4, 1] + [300, 0, 0]
    lift(own, wide, image_size=(1000, 320))
    with pytest.raises(MixsteError, match=r"100% of them outside of 1000 x 320.*seem to be swapped"):
        lift(own, wide[..., [1, 0, 2]], image_size=(1000, 320))
    with pytest.raises(MixsteError, match=r"outside of 320 x 1000.*width and height, seem to be swapped"):
        lift(own, wide, image_size=(320, 1000))


def test_a_person_that_lies_raises_the_suspicion_that_x_and_y_are_swapped(own):
    report = lift(own, person()[..., [1, 0, 2]]).report
    assert "The trunk is nearer to level than upright in most frames: if it is not, x and y are swapped." in report


def test_keypoints_beyond_the_image_are_said(own):
    x = person()
    x[:, :3, 0] += 900
    assert any("of the keypoints lie outside of 1000 x 800" in sentence for sentence in lift(own, x).report)


def test_nan_and_negative_and_unsure_keypoints_are_taken_as_missing_and_said(own):
    x = person()
    x[0, 0, 0], x[1, 1, 2], x[2, 2, 2], x[3, 3, 2] = np.nan, -0.5, 0.01, 7
    report = lift(own, x).report
    assert "1 keypoints that are NaN or infinite are taken as missing." in report
    assert "1 keypoints with negative confidence are taken as missing." in report
    assert "1 keypoints with confidence below 0.05 are taken as missing." in report
    assert "1 keypoints with confidence above 1 are taken as sure." in report
    assert any("3 of 680 joints in single frames" in sentence for sentence in report)


def test_without_confidence_it_is_1_where_there_is_a_joint(own):
    x = person(channels=2)
    x[3, 3] = 0
    sure = np.concatenate([x, (x != 0).any(-1, keepdims=True)], axis=-1)
    motion = lift(own, x)
    assert np.array_equal(motion.joints, lift(own, sure).joints)
    assert "The model wants confidence and there is none: 1 where there is a joint." in motion.report


def test_one_frame_is_lifted_as_a_standstill(own):
    motion = lift(own, person(1), fps=30)
    assert np.array_equal(motion.joints, lift(own, person(1), fps=50).joints)
    assert "There is one frame: it was lifted as if the person stood still." in motion.report


def test_clean_keypoints_of_the_models_own_layout_and_rate_need_no_words(own):
    assert lift(own, person()).report == ()


def test_a_place_at_0_0_is_missing_whatever_confidence_it_claims(own):
    clip, claimed = person(), person()
    clip[7, 16] = 0
    claimed[7, 16, :2] = 0
    found = lift(own, claimed)
    np.testing.assert_array_equal(found.joints, lift(own, clip).joints)
    assert any("1 keypoints at 0, 0 that claim confidence" in said for said in found.report)


@pytest.mark.parametrize("channels", [2, 3])
def test_a_place_far_outside_of_the_image_is_missing(own, channels):
    clip, far = person(channels=channels), person(channels=channels)
    clip[7, 16] = 0
    far[7, 16, :2] = -1e5, 1e5
    found = lift(own, far)
    np.testing.assert_array_equal(found.joints, lift(own, clip).joints)
    assert any("1 keypoints that lie more than an image's size outside" in said for said in found.report)


def test_confidence_on_another_scale_is_refused(own):
    with pytest.raises(MixsteError, match="confidence is on another scale; found: up to 100; expected: 0 to 1"):
        lift(own, person() * (1, 1, 100))


@pytest.mark.parametrize("place", [0, np.nan])
def test_what_is_missing_does_not_tell_the_scale_of_confidence(own, place):
    clip = person()
    clip[7, 16] = place, place, 255
    assert np.isfinite(lift(own, clip).joints).all()


def test_people_who_are_all_at_0_0_are_nobody(own):
    found = r"found: no keypoint with confidence 0.05 or more in 40 frames but 680 at 0, 0; to mend it: look at the"
    with pytest.raises(MixsteError, match=found):
        lift(own, person() * (0, 0, 1))


def test_what_torch_and_masked_arrays_hold_is_lifted(own):
    clip = person()
    expected = lift(own, clip).joints
    np.testing.assert_array_equal(lift(own, torch.tensor(clip, requires_grad=True)).joints, expected)
    masked = np.ma.masked_array(clip, mask=np.zeros_like(clip, dtype=bool))
    masked[7, 16] = np.ma.masked
    clip[7, 16] = np.nan
    np.testing.assert_array_equal(lift(own, masked).joints, lift(own, clip).joints)


@pytest.mark.parametrize("fps", [50, 60])
def test_a_model_that_gives_no_numbers_is_refused_at_any_frame_rate(fps):
    own = lifter()
    torch.nn.init.constant_(own.model.head.weight, torch.nan)
    with pytest.raises(MixsteError, match=r"this model lifts nothing; found: .* are NaN or infinite"):
        own.lift(person(30), skeleton="h36m17", fps=fps, image_size=SIZE)
