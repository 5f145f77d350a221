import numpy as np
import pytest
import torch

from mixste.errors import MixsteError
from mixste.inference import lift
from mixste.lifter import Lifter
from mixste.models.checkpoint import ModelConfig, save_model
from tests.unit.factories import FLIP, FPS, SKELETON, model


def keypoints(*shape):
    return np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)


def lifter(*, flip=True, **settings):
    network = model(**settings)
    return Lifter(network, ModelConfig(model=network.settings, skeleton=SKELETON, fps=FPS), flip=flip)


def test_a_saved_model_lifts_as_it_did(tmp_path):
    own = lifter()
    save_model(tmp_path, own.model.state_dict(), own.config)
    loaded = Lifter.load(tmp_path)
    assert loaded.config == own.config
    assert np.array_equal(loaded.lift(keypoints(30, 17, 3)), own.lift(keypoints(30, 17, 3)))


@pytest.mark.parametrize("flip", [True, False])
def test_windows_are_lifted_as_the_model_lifts_them(flip):
    own, x = lifter(flip=flip), keypoints(4, 9, 17, 3)
    expected = lift(own.model, torch.from_numpy(x), flip=torch.tensor(FLIP) if flip else None).numpy()
    np.testing.assert_allclose(own.predict(x), expected, rtol=1e-5, atol=1e-6)


def test_a_sequence_of_one_window_is_that_window():
    own, x = lifter(), keypoints(9, 17, 3)
    np.testing.assert_allclose(own.lift(x), own.predict(x[None])[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 8, 10, 50])
def test_any_length_is_lifted_frame_by_frame(frames):
    lifted = lifter().lift(keypoints(frames, 17, 3))
    assert (lifted.shape, lifted.dtype) == ((frames, 17, 3), np.float32)
    assert np.isfinite(lifted).all()


def test_windows_overlap_by_half_unless_told_otherwise():
    own, x = lifter(), keypoints(40, 17, 3)
    assert np.array_equal(own.lift(x), own.lift(x, overlap=4))
    assert not np.allclose(own.lift(x), own.lift(x, overlap=0), atol=1e-4)


@pytest.mark.parametrize("frames", [1, 4, 20])
def test_a_model_of_the_centre_frame_lifts_any_length_whatever_the_overlap(frames):
    own, x = lifter(architecture="pstmo", step=2), keypoints(frames, 17, 3)
    assert own.lift(x).shape == (frames, 17, 3)
    assert np.array_equal(own.lift(x), own.lift(x, overlap=0))


def test_lists_and_float64_are_taken_and_not_changed():
    own, x = lifter(), keypoints(9, 17, 3)
    assert np.array_equal(own.lift(x.tolist()), own.lift(x))
    assert np.array_equal(own.lift(x.astype(np.float64)), own.lift(x))
    assert np.array_equal(x, keypoints(9, 17, 3))


def test_channels_that_the_model_does_not_use_are_left_out():
    own, x = lifter(channels=2), keypoints(9, 17, 3)
    assert np.array_equal(own.lift(x), own.lift(x[..., :2]))


@pytest.mark.parametrize("shape", [(9, 16, 3), (9, 17, 2), (0, 17, 3), (17, 3), (1, 9, 17, 3)])
def test_sequences_of_another_shape_are_refused_with_what_fits(shape):
    with pytest.raises(MixsteError, match=r"`t j c` with 17 joints \(h36m17\) and 3 channels") as error:
        lifter().lift(keypoints(*shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("shape", [(9, 17, 3), (0, 9, 17, 3), (1, 9, 15, 3)])
def test_windows_of_another_shape_are_refused_with_what_fits(shape):
    with pytest.raises(MixsteError, match=r"`b t j c` with 17 joints"):
        lifter().predict(keypoints(*shape))


@pytest.mark.parametrize("frames", [1, 4, 8])
def test_a_short_clip_has_one_answer_however_it_is_lifted(frames):
    own, x = lifter(), keypoints(2, frames, 17, 3)
    for sequence, predicted in zip(x, own.predict(x), strict=True):
        np.testing.assert_allclose(predicted, own.lift(sequence), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frames", [4, 9, 12])
@pytest.mark.parametrize("flip", [True, False])
def test_the_served_model_answers_as_lift_does(tmp_path, frames, flip):
    from types import SimpleNamespace

    from pipelines.served import ServedLifter

    own, x = lifter(flip=flip), keypoints(2, frames, 17, 3)
    save_model(tmp_path, own.model.state_dict(), own.config)
    served = ServedLifter()
    served.load_context(SimpleNamespace(artifacts={"model": str(tmp_path)}))
    expected = np.stack([own.lift(sequence) for sequence in x])
    np.testing.assert_allclose(served.predict(None, x, {"flip": flip}), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("overlap", [-1, 9, 20, 2.5])
def test_an_overlap_that_no_window_can_have_is_refused(overlap):
    with pytest.raises(MixsteError, match=f"found: {overlap}; expected: 0 to 8 frames"):
        lifter().lift(keypoints(30, 17, 3), overlap=overlap)


def test_sequences_longer_than_a_window_are_lifted_as_one_is():
    own, x = lifter(), keypoints(3, 25, 17, 3)
    for sequence, predicted in zip(x, own.predict(x, overlap=2), strict=True):
        np.testing.assert_allclose(predicted, own.lift(sequence, overlap=2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_joints_are_refused_with_their_number_and_how_to_mark_them(value):
    x = keypoints(9, 17, 3)
    x[3, 4:6, 0] = value
    with pytest.raises(MixsteError, match=r"2 values that are NaN or infinite.*set .* to 0"):
        lifter().lift(x)
