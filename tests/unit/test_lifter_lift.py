"""`lift`: pixels of any layout, rate and length to joints at the same frames, and what is said of it."""

import numpy as np
import pytest

from mixste.joint_maps import map_skeleton
from mixste.lifter import Lifter
from tests.unit.lifters import SIZE, echo, lifter, person, rooted, screen
from tests.unit.memory import peak


def lift(own, keypoints, *, skeleton="h36m17", fps=50, **options):
    return own.lift(keypoints, skeleton=skeleton, fps=fps, image_size=SIZE, **options)


@pytest.mark.parametrize("settings", [{}, {"channels": 2}, {"architecture": "pstmo", "step": 2}, {"frames": 1}])
@pytest.mark.parametrize("frames", [1, 7, 60])
def test_pixels_of_the_models_own_joints_and_rate_are_lifted_as_predict_lifts_them(settings, frames):
    own, x = lifter(**settings), person(frames)
    given = np.concatenate([screen(x[..., :2]), x[..., 2:]], axis=-1)
    motion = lift(own, x)
    np.testing.assert_allclose(motion.joints, rooted(own.predict(given[None])[0]), atol=2e-6)
    assert (motion.joints.dtype, motion.skeleton, motion.fps) == (np.float32, "h36m17", 50.0)
    assert (motion.unit, motion.frame, motion.rooted) == ("m", "camera", True)


@pytest.mark.parametrize("fps", [25, 29.97, 50.5, 60, 120])
@pytest.mark.parametrize("frames", [2, 3, 150])
def test_frames_of_any_rate_come_back_at_their_own_times(fps, frames):
    x = person(frames, fps=fps)
    motion = lift(echo(), x, fps=fps)
    assert (motion.joints.shape, motion.fps) == ((frames, 17, 3), fps)
    np.testing.assert_allclose(motion.joints[..., :2], rooted(screen(x[..., :2])), atol=1e-3)
    assert any(f"Resampled from {fps:g} to 50 fps" in sentence for sentence in motion.report)


def test_a_model_is_given_moments_of_its_own_rate():
    x = person(200, fps=60)
    expected = person(167, fps=50)
    own = echo()
    given = []
    own.model.register_forward_hook(lambda module, args, output: given.append(args[0].numpy()))
    lift(own, x, fps=60)
    np.testing.assert_allclose(given[0][0, :, :, :2], screen(expected[:9, :, :2]), atol=1e-4)


@pytest.mark.parametrize("skeleton", ["coco17", "body25", "halpe26", "blazepose33", "mpi17"])
def test_a_layout_is_mapped_by_the_names_of_its_joints_and_said_to_be(skeleton):
    from mixste.skeleton import load_skeleton

    x = person(20, skeleton=skeleton)
    expected = map_skeleton(skeleton, "h36m17").apply_keypoints(load_skeleton(skeleton).joints, x)
    motion = lift(echo(), x, skeleton=skeleton)
    seen = expected[0, :, 2] > 0
    np.testing.assert_allclose(motion.joints[:, seen, :2], rooted(screen(expected[..., :2]))[:, seen], atol=1e-5)
    (said,) = (sentence for sentence in motion.report if sentence.startswith(f"{skeleton} to h36m17: "))
    assert "joints as they are" in said
    if skeleton == "coco17":
        assert "hip averaged: l_hip and r_hip" in said
        assert "neck near: nose" in said


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("gap", [(5, 8), (0, 4), (36, 40)])
def test_a_missing_joint_is_filled_in_over_time_with_confidence_0(gap, channels):
    x = person()
    whole = screen(x[..., :2])
    x[slice(*gap), 3] = np.nan
    motion = lift(echo(channels=channels), x)
    known = [frame for frame in range(40) if frame not in range(*gap)]
    expected = np.stack([np.interp(range(40), known, whole[known, 3, axis]) for axis in (0, 1)], axis=-1)
    np.testing.assert_allclose(motion.joints[:, 3, :2], expected - whole[:, 0], atol=1e-5)
    if channels == 3:
        assert (motion.joints[slice(*gap), 3, 2] == -1).all()  # the root's confidence is 1
        assert (motion.joints[known, 3, 2] == 0).all()
    missing = gap[1] - gap[0]
    assert f"{missing} of 680 joints in single frames" in " ".join(motion.report)
    assert "filled in over time, with confidence 0" in " ".join(motion.report)


def test_a_gap_over_many_blocks_is_filled_from_both_its_ends():
    x = person(4000, channels=2)
    whole = screen(x)
    x[500:3500, 3] = 0
    lifted = lift(echo(channels=2), x).joints[:, 3, :2] + whole[:, 0]
    line = np.linspace(whole[499, 3], whole[3500, 3], 3002)
    np.testing.assert_allclose(lifted[499:3501], line, atol=1e-4)


def test_frames_without_a_person_are_said_with_the_longest_row():
    x = person()
    x[3:6], x[10:20] = 0, 0
    assert "No person is in 13 frames, at most 10 in a row (0.20 s)" in " ".join(lift(lifter(), x).report)


def test_confidence_fades_into_a_gap_when_the_rate_changes():
    x = person(60, fps=25)
    x[20:30, 3, 2] = 0
    given = []
    own = echo(frames=81)
    own.model.register_forward_hook(lambda module, args, output: given.append(args[0].numpy()))
    lift(own, x, fps=25)
    confidence = given[0][0, :, 3, 2]
    assert confidence[37:41].tolist() == [1.0, 1.0, 0.5, 0.0]
    assert (confidence[40:59] == 0).all()
    assert confidence[58:62].tolist() == [0.0, 0.5, 1.0, 1.0]


def test_a_joint_that_no_frame_has_is_put_at_the_next_one_up():
    x = person()
    x[:, 3] = 0
    motion = lift(echo(channels=2), x)
    assert np.array_equal(motion.joints[:, 3], motion.joints[:, 2])
    assert "No frame has r_ankle: put where the next joint up the skeleton is" in " ".join(motion.report)


@pytest.mark.parametrize("settings", [{"channels": 2}, {"architecture": "pstmo"}])
@pytest.mark.parametrize("fps", [50, 30])
def test_lifting_in_parts_gives_what_lifting_at_once_gives(settings, fps):
    network = lifter(**settings)
    x = person(1100, fps=fps)
    x[np.random.default_rng(1).random(x.shape[:2]) < 0.1] = 0
    x[990:1060, 4] = 0
    parts, whole = (Lifter(network.model, network.config, batch_size=size) for size in (60, 100_000))
    np.testing.assert_allclose(lift(parts, x, fps=fps).joints, lift(whole, x, fps=fps).joints, atol=2e-6)


@pytest.mark.parametrize("fps", [50, 60])
def test_working_memory_does_not_grow_with_length(fps):
    def working(frames):
        own, x = echo(batch_size=16), np.tile(person(500, fps=fps).astype(np.float32), (frames // 500, 1, 1))
        x[::7, 3] = 0
        used = peak(lambda: lift(own, x, fps=fps))
        assert own.model.most == 16
        return used - x.size * 4  # the output is as large as the input

    working(500)
    short, long = working(2000), working(8000)
    assert long < 1.2 * short + 8000 * 17 * 3  # a byte a number, for the check that all are finite


def test_progress_ends_with_all_frames():
    told = []
    lift(lifter(), person(100), tell=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (100, 100)


def test_bf16_is_near_fp32():
    own = lifter()
    half = Lifter(own.model, own.config, precision="bf16")
    one, other = lift(own, person()).joints, lift(half, person()).joints
    assert 0 < np.abs(one - other).max() < 0.1 * np.abs(one).max()


def test_what_is_handed_in_is_not_changed():
    x = person()
    x[3] = np.nan
    before = x.copy()
    lift(lifter(), x)
    assert np.array_equal(x, before, equal_nan=True)


def test_a_screen_models_motion_says_that_its_size_is_not_known():
    motion = lift(lifter(unit="screen"), person())
    assert motion.unit == "screen"
    assert "not metres" in " ".join(motion.report)
