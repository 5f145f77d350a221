"""The simulated detector's errors: their size, how long they last, what its confidence knows of them."""

from dataclasses import fields, replace

import numpy as np
import pytest

from mixste.cameras import load_rig
from mixste.detector import DetectorSettings, autoregressive, box_size, detect, difficulty, events, seeded
from mixste.settings.rules import SettingsError
from mixste.skeleton import load_skeleton

SKELETON, FPS, FRAMES = load_skeleton("h36m17"), 50.0, 20_000
CAMERA = load_rig("h36m").cameras[0]
QUIET = replace(DetectorSettings(), noise=0, bias=0, dropout_rate=0, swap_rate=0, confidence_noise=0)
STANDING = np.array(
    [[0, 0, 0.93], [-0.13, 0, 0.93], [-0.14, 0.02, 0.49], [-0.14, -0.04, 0.08], [0.13, 0, 0.93], [0.14, 0.02, 0.49],
     [0.14, -0.04, 0.08], [0, -0.01, 1.16], [0, 0, 1.42], [0, 0.05, 1.52], [0, 0.02, 1.63], [0.16, 0, 1.38],
     [0.3, 0, 1.12], [0.34, 0.1, 0.9], [-0.16, 0, 1.38], [-0.3, 0, 1.12], [-0.34, 0.1, 0.9]]
)  # fmt: skip


def person(frames=FRAMES):
    """A person who stands in the middle of the rig and sways a little: screen coordinates and depth."""
    world = np.repeat(STANDING[None].astype(np.float32), frames, axis=0)
    world[..., :2] += load_rig("h36m").centre.astype(np.float32)
    world[..., 0] += 0.2 * np.sin(np.arange(frames, dtype=np.float32) / 40)[:, None]
    screen, points = CAMERA.see(world)
    return screen, points[..., 2]


def detections(settings, frames=FRAMES, seed=0, names=("clip", "camera"), scene=None):
    screen, depth = scene or person(frames)
    rng = seeded(seed, *names)
    return detect(screen, depth, skeleton=SKELETON, fps=FPS, ratio=1.0, settings=settings, rng=rng)


def errors(found, screen):
    return np.linalg.norm(found[..., :2] - screen, axis=-1) * 500


@pytest.fixture(scope="module")
def usual():
    screen, _ = person()
    found = detections(DetectorSettings())
    return found, errors(found, screen)


def test_the_error_is_about_five_pixels_and_larger_at_the_ends(usual):
    pixels = usual[1].mean(axis=0)
    assert 4 < pixels.mean() < 6.5
    wrists, ankles, hips = ([SKELETON.index(f"{side}_{name}") for side in "lr"] for name in ("wrist", "ankle", "hip"))
    assert pixels[wrists].mean() > pixels[ankles].mean() > 1.4 * pixels[hips].mean()


def test_the_error_grows_with_the_person():
    screen, depth = person(2000)
    near = errors(detections(QUIET.__class__(swap_rate=0), scene=(screen, depth)), screen)
    far = errors(detections(QUIET.__class__(swap_rate=0), scene=(screen / 2, depth)), screen / 2)
    np.testing.assert_allclose(near.mean() / far.mean(), 2, rtol=0.02)


def test_errors_last():
    screen, _ = person()
    shift = detections(replace(QUIET, noise=0.01), frames=FRAMES)[..., 0] - screen[..., 0]
    lagged = np.corrcoef(shift[1:, 13], shift[:-1, 13])[0, 1]
    np.testing.assert_allclose(lagged, QUIET.correlation, atol=0.02)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_autoregression_is_stationary(correlation):
    process = autoregressive((4000, 200), correlation, np.random.default_rng(0))
    np.testing.assert_allclose(process.std(axis=1)[[0, 1, 10, 3999]], 1, atol=0.15)
    np.testing.assert_allclose((process[1:] * process[:-1]).mean(), correlation, atol=0.02)


def test_events_come_and_last_as_often_as_asked():
    start = events(0.002, 8.0, (20_000, 40), np.random.default_rng(0))
    running = start >= 0
    begun = running & (start == np.arange(20_000)[:, None])
    np.testing.assert_allclose(begun.mean(), 0.002, rtol=0.05)
    np.testing.assert_allclose(running.sum() / begun.sum(), 8.0, rtol=0.05)


def test_an_event_knows_where_it_began():
    start = events(0.05, 5.0, (500, 3), np.random.default_rng(1))
    frame, column = np.nonzero(start >= 0)
    first = start[frame, column]
    assert (first <= frame).all()
    assert (start[first, column] == first).all()


def test_swaps_exchange_left_and_right_of_whole_limbs():
    screen, _ = person()
    found = detections(replace(QUIET, swap_rate=0.5))
    mirrored = np.isclose(found[..., :2], screen[:, list(SKELETON.flip)], atol=1e-6).all(axis=-1)
    moved = ~np.isclose(found[..., :2], screen, atol=1e-6).all(axis=-1)
    assert mirrored[moved].all()
    swapped = moved.any(axis=1)
    expected = 1 - np.exp(-0.5 * QUIET.swap_seconds)
    np.testing.assert_allclose(swapped.mean(), expected, rtol=0.25)
    legs, arms = moved[:, [2, 3, 5, 6]], moved[:, [12, 13, 15, 16]]
    assert (legs.all(axis=1) == legs.any(axis=1)).all()
    both = legs.any(axis=1) & arms.any(axis=1)
    assert 0.1 < both.sum() / swapped.sum() < 0.55


def test_drop_outs_come_as_often_as_asked_and_lower_the_confidence():
    settings = replace(QUIET, dropout_rate=0.3, wander=0.05)
    screen, depth = person()
    found = detections(settings)
    occluded = found[..., 2] < 0.99
    expected = 1 - np.exp(-settings.dropout_rate * settings.dropout_seconds)
    np.testing.assert_allclose(occluded.mean(), expected, rtol=0.25)
    behind = depth > depth[:, [0]]
    assert occluded[behind].mean() > 1.5 * occluded[~behind].mean()
    assert errors(found, screen)[~occluded].max() < 0.01
    assert errors(found, screen)[occluded].mean() > 5


def test_some_occluded_joints_stick_beside_the_root():
    frames = 4000
    screen, depth = person(frames)
    screen[:, 13, 1] += 0.2 * np.sin(np.arange(frames) / 5)
    settings = replace(QUIET, dropout_rate=1.0, dropout_seconds=0.4, wander=0.0, confidence_scale=1e6)
    found = detections(settings, scene=(screen, depth))
    beside = found[1:, 13, :2] - found[1:, 0, :2] - (found[:-1, 13, :2] - found[:-1, 0, :2])
    hidden = (
        (found[1:, 13, 2] < 0.99) & (found[:-1, 13, 2] < 0.99) & (found[1:, 0, 2] > 0.99) & (found[:-1, 0, 2] > 0.99)
    )
    still = np.abs(beside[hidden]).max(axis=-1) < 1e-6
    assert 0.25 < still.mean() < 0.75


def test_confidence_follows_the_error_but_not_exactly(usual):
    found, error = usual
    correlation = np.corrcoef(found[..., 2].ravel(), error.ravel())[0, 1]
    assert -0.8 < correlation < -0.25
    assert 0.7 < found[..., 2].mean() < 0.95
    assert found[..., 2].min() >= 0
    assert found[..., 2].max() <= 1


def test_a_joint_outside_the_image_has_no_confidence_and_lies_on_the_border():
    screen, depth = person(100)
    found = detections(QUIET, scene=(screen + np.float32([0.9, 0]), depth))
    outside = screen[..., 0] + 0.9 > 1
    assert outside.any()
    assert not outside.all()
    assert (found[..., 2][outside] == 0).all()
    assert (found[..., 0][outside] == 1).all()
    assert (found[..., 2][~outside] > 0).all()


def test_a_perfect_detector_is_exact():
    screen, _ = person(50)
    found = detections(QUIET, frames=50)
    np.testing.assert_array_equal(found[..., :2], screen)
    assert (found[..., 2] == 1).all()
    assert found.dtype == np.float32


def test_random_numbers_depend_on_seed_and_names_only():
    one, same = detections(DetectorSettings(), 200), detections(DetectorSettings(), 200)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, detections(DetectorSettings(), 200, seed=1))
    assert not np.array_equal(one, detections(DetectorSettings(), 200, names=("clip", "other")))
    assert seeded(0, "ab", "c").random() != seeded(0, "a", "bc").random()
    assert seeded(0, "clip").random() == 0.39818044922365825


def test_difficulty_is_one_on_average_for_every_skeleton():
    for name in ("h36m17", "humaneva15"):
        np.testing.assert_allclose(difficulty(load_skeleton(name)).mean(), 1, rtol=1e-6)


def test_other_skeletons_and_single_frames():
    skeleton = load_skeleton("humaneva15")
    screen = np.random.default_rng(0).normal(0, 0.2, (1, 15, 2)).astype(np.float32)
    found = detect(
        screen, np.ones((1, 15), np.float32), skeleton=skeleton, fps=60.0, ratio=0.75, settings=DetectorSettings(),
        rng=seeded(0),
    )  # fmt: skip
    assert found.shape == (1, 15, 3)
    assert np.isfinite(found).all()


def test_box_size():
    screen = np.zeros((2, 3, 2), np.float32)
    screen[0, 1] = 0.2, -0.4
    np.testing.assert_allclose(box_size(screen), [0.4, 0.05])


@pytest.mark.parametrize("field", fields(DetectorSettings), ids=lambda field: field.name)
def test_impossible_settings_are_refused_by_name(field):
    with pytest.raises(SettingsError, match=field.name):
        DetectorSettings(**{field.name: -0.1})


@pytest.mark.parametrize("name", ["mpi17", "humaneva15", "coco17", "halpe26", "smplh52"])
def test_any_skeleton_is_detected(name):
    """Limbs of any skeleton swap as pairs, and the error stays about as large."""
    skeleton = load_skeleton(name)
    screen, depth = person(2000)
    places = np.random.default_rng(0).integers(0, 17, len(skeleton.joints))
    screen, depth = screen[:, places], depth[:, places]
    found = detect(
        screen, depth, skeleton=skeleton, fps=FPS, ratio=1.0, settings=DetectorSettings(), rng=seeded(0, name)
    )
    assert found.shape == (2000, len(skeleton.joints), 3)
    assert 2 < np.median(errors(found, screen)) < 8
