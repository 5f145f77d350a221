"""A lifter of its own model's input: what it is loaded from, and `predict`."""

import gc
import weakref

import numpy as np
import pytest
import torch

import mixste
from mixste.errors import MixsteError
from mixste.inference import lift
from mixste.lifter import Lifter
from mixste.models.checkpoint import CONFIG, WEIGHTS, save_model
from mixste.motion import Motion
from tests.unit.factories import FLIP, FPS, SKELETON
from tests.unit.lifters import SIZE, lifter, person
from tests.unit.official import layouts


def keypoints(*shape):
    return np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)


def one(own, sequence, **options):
    """The lifted frames of one sequence."""
    return own.predict(np.asarray(sequence)[None], **options)[0]


def test_a_saved_model_lifts_as_it_did(tmp_path):
    own = lifter()
    save_model(tmp_path, own.model.state_dict(), own.config)
    loaded = Lifter.load(tmp_path)
    assert loaded.config == own.config
    assert np.array_equal(loaded.predict(keypoints(1, 30, 17, 3)), own.predict(keypoints(1, 30, 17, 3)))


def test_an_official_checkpoint_lifts_as_it_is(tmp_path):
    path = layouts.save_mixste(tmp_path / "best_epoch.bin", layouts.random_weights(layouts.mixste(16, 2, 9)))
    loaded = Lifter.load(path)
    assert (loaded.config.skeleton, loaded.config.model.frames) == ("h36m17", 9)
    assert loaded.lift(person(20), skeleton="h36m17", fps=50, image_size=SIZE).joints.shape == (20, 17, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["best_epoch.bin"]


def test_a_model_that_is_nowhere_is_refused_by_its_name(tmp_path):
    with pytest.raises(MixsteError, match=f"no model {tmp_path}/none"):
        Lifter.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "unknown device; found: gpu; expected: cpu, cuda or auto"),
        ({"device": "meta"}, "cannot lift on this device; found: meta; expected: cpu, cuda or auto"),
        ({"precision": "int4"}, "unknown precision; found: int4"),
        ({"batch_size": 0}, "found: 0; expected: 1 window or more"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    own = lifter()
    with pytest.raises(MixsteError, match=message):
        Lifter(own.model, own.config, **options)


def test_a_device_may_be_torchs():
    own = lifter()
    assert Lifter(own.model, own.config, device=torch.device("cpu")).device.type == "cpu"


def test_what_torch_makes_by_default_does_not_matter():
    own, x = lifter(), person()
    asked = {"skeleton": SKELETON, "fps": FPS, "image_size": SIZE}
    expected = own.lift(x, **asked).joints
    torch.set_default_dtype(torch.float64)
    try:
        np.testing.assert_array_equal(own.lift(x, **asked).joints, expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_what_was_lifted_is_forgotten_at_once():
    own, gc_ran = lifter(), gc.isenabled()
    gc.disable()
    try:
        own.lift(x := person(), skeleton=SKELETON, fps=FPS, image_size=SIZE)
        kept = weakref.ref(x)
        del x
        assert kept() is None
    finally:
        gc.enable() if gc_ran else None


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
def test_a_model_may_be_named_by_one_of_its_files(tmp_path, name):
    own = lifter()
    save_model(tmp_path, own.model.state_dict(), own.config)
    assert Lifter.load(tmp_path / name).config == own.config


def test_what_users_need_is_in_the_package_itself():
    assert (mixste.Lifter, mixste.Motion, mixste.MixsteError) == (Lifter, Motion, MixsteError)
    with pytest.raises(AttributeError, match="has no attribute 'Lifters'"):
        mixste.Lifters  # noqa: B018


def test_a_gpu_is_not_chosen_by_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    own = lifter()
    with pytest.raises(MixsteError, match=r"by its number; found: cuda:1; .*CUDA_VISIBLE_DEVICES=1"):
        Lifter(own.model, own.config, device="cuda:1")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused():
    own = lifter()
    assert Lifter(own.model, own.config, device="auto").device.type == "cpu"
    with pytest.raises(MixsteError, match="none that torch can use"):
        Lifter(own.model, own.config, device="cuda")


@pytest.mark.parametrize("flip", [True, False])
def test_windows_are_lifted_as_the_model_lifts_them(flip):
    own, x = lifter(flip=flip), keypoints(4, 9, 17, 3)
    expected = lift(own.model, torch.from_numpy(x), flip=torch.tensor(FLIP) if flip else None).numpy()
    np.testing.assert_allclose(own.predict(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 8, 10, 50])
def test_any_length_is_lifted_frame_by_frame(frames):
    lifted = lifter().predict(keypoints(1, frames, 17, 3))
    assert (lifted.shape, lifted.dtype) == ((1, frames, 17, 3), np.float32)
    assert np.isfinite(lifted).all()


def test_windows_overlap_by_half_unless_told_otherwise():
    own, x = lifter(), keypoints(40, 17, 3)
    assert np.array_equal(one(own, x), one(own, x, overlap=4))
    assert not np.allclose(one(own, x), one(own, x, overlap=0), atol=1e-4)


@pytest.mark.parametrize("frames", [1, 4, 20])
def test_a_model_of_the_centre_frame_lifts_any_length_whatever_the_overlap(frames):
    own, x = lifter(architecture="pstmo", step=2), keypoints(frames, 17, 3)
    assert one(own, x).shape == (frames, 17, 3)
    assert np.array_equal(one(own, x), one(own, x, overlap=0))


def test_lists_and_float64_are_taken_and_not_changed():
    own, x = lifter(), keypoints(9, 17, 3)
    assert np.array_equal(one(own, x.tolist()), one(own, x))
    assert np.array_equal(one(own, x.astype(np.float64)), one(own, x))
    assert np.array_equal(x, keypoints(9, 17, 3))


def test_channels_that_the_model_does_not_use_are_left_out():
    own, x = lifter(channels=2), keypoints(9, 17, 3)
    assert np.array_equal(one(own, x), one(own, x[..., :2]))


@pytest.mark.parametrize("shape", [(9, 17, 3), (0, 9, 17, 3), (1, 9, 15, 3), (1, 9, 17, 2), (1, 0, 17, 3)])
def test_sequences_of_another_shape_are_refused_with_what_fits(shape):
    with pytest.raises(MixsteError, match=r"`b t j c` with 17 joints \(h36m17\) and 3 channels") as error:
        lifter().predict(keypoints(*shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("frames", [1, 4, 8, 25])
def test_a_sequence_has_one_answer_whatever_is_beside_it(frames):
    own, x = lifter(), keypoints(2, frames, 17, 3)
    for sequence, predicted in zip(x, own.predict(x, overlap=2), strict=True):
        np.testing.assert_allclose(predicted, one(own, sequence, overlap=2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("overlap", [-1, 9, 20, 2.5, 3.0])
def test_an_overlap_that_no_window_can_have_is_refused(overlap):
    with pytest.raises(MixsteError, match=f"found: {overlap}; expected: 0 to 8 frames"):
        lifter().predict(keypoints(1, 30, 17, 3), overlap=overlap)
    with pytest.raises(MixsteError, match=f"found: {overlap}; expected: 0 to 8 frames"):
        lifter().lift(person(), skeleton="h36m17", fps=50, image_size=SIZE, overlap=overlap)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_joints_are_refused_with_their_number_and_how_to_mark_them(value):
    x = keypoints(1, 9, 17, 3)
    x[0, 3, 4:6, 0] = value
    with pytest.raises(MixsteError, match=r"2 values that are NaN or infinite.*set .* to 0"):
        lifter().predict(x)
