"""AMASS clips of both kinds, with the user's own body models."""

import numpy as np
import pytest

from mixste.captures import SourceError, read_capture
from mixste.captures.formats.amass import Bodies, read, read_clip
from mixste.captures.formats.body_model import BodyMotion, read_body_model
from mixste.errors import MixsteError
from tests.unit.captures.formats.body_files import H36M, SMPLH, clip_parts, regressor, write_bodies, write_clip


@pytest.fixture
def bodies(tmp_path):
    write_bodies(tmp_path)
    return Bodies(tmp_path / "smplh")


@pytest.fixture
def regressed(bodies, tmp_path):
    return Bodies(bodies.models, soft=tmp_path / "dmpls", regressor=tmp_path / "regressor.npy")


def motion_of(parts, *, soft=False):
    turns = parts["poses"].reshape(-1, 52, 3)
    return BodyMotion(turns, parts["trans"], parts["betas"], parts["dmpls"] if soft else None)


def test_both_kinds_of_file_hold_the_same_motion(bodies, tmp_path):
    old, new = (read(write_clip(tmp_path / f"{new}.npz", new=new), bodies=bodies) for new in (False, True))
    assert old.joints == new.joints == SMPLH.joints
    np.testing.assert_array_equal(old.positions, new.positions)
    assert old.fps == new.fps == 60
    expected = read_body_model(bodies.models / "male/model.npz").move(motion_of(clip_parts()))
    np.testing.assert_array_equal(old.positions, expected)


def test_a_clip_stands_upright_in_z(bodies, tmp_path):
    found = read_capture(write_clip(tmp_path / "clip.npz"), "amass", bodies=bodies).positions
    height = found[:, SMPLH.index("neck"), 2] - found[:, SMPLH.index("l_ankle"), 2]
    assert (height > 1).all()


def test_with_a_regressor_the_joints_are_human36ms(regressed, tmp_path):
    found = read(write_clip(tmp_path / "clip.npz"), bodies=regressed)
    assert found.joints == H36M.joints
    model = read_body_model(
        regressed.models / "male/model.npz",
        soft=regressed.soft / "male/model.npz",
        regressor=tmp_path / "regressor.npy",
    )
    np.testing.assert_allclose(found.positions, model.move(motion_of(clip_parts(), soft=True)), atol=1e-6)
    assert found.notes == ()


def test_the_files_gender_chooses_the_model(bodies, tmp_path):
    genders = ("male", "female", np.array(b"female"), np.array("Female"), np.array(["female"], dtype=object))
    male, *female = (
        read(write_clip(tmp_path / f"{number}.npz", gender=gender), bodies=bodies).positions
        for number, gender in enumerate(genders)
    )
    assert np.abs(male - female[0]).max() > 1e-3
    for found in female[1:]:
        np.testing.assert_array_equal(found, female[0])


def test_a_gender_without_a_model_stops_unless_another_is_named(bodies, tmp_path):
    path = write_clip(tmp_path / "clip.npz", gender="neutral")
    with pytest.raises(SourceError, match=r"no body model .*neutral/model.npz; found: female, male.*body.fallback"):
        read(path, bodies=bodies)
    found = read(path, bodies=Bodies(bodies.models, fallback="female"))
    assert found.notes[0] == "neutral body: the female model is used"
    expected = read(write_clip(tmp_path / "female.npz", gender="female"), bodies=bodies)
    np.testing.assert_array_equal(found.positions, expected.positions)


def test_ignored_soft_tissue_and_betas_are_noted(bodies, tmp_path):
    path = write_clip(tmp_path / "clip.npz", betas=np.zeros(20))
    assert read(path, bodies=bodies).notes == (
        "soft tissue (dmpls) is ignored: joints of the skeleton do not need it",
        "4 of 20 betas are ignored: the model has 16 shapes",
    )
    without = Bodies(bodies.models, regressor=tmp_path / "regressor.npy")
    assert read(path, bodies=without).notes[0].endswith("no folder of its shapes is given")
    assert read(write_clip(tmp_path / "new.npz", new=True), bodies=without).notes == ()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"gender": "male", "betas": np.zeros(16)}, r"shape.npz is no clip; found: only gender, betas"),
        ({**clip_parts(), "poses": np.zeros((40, 72))}, r"poses \(40, 72\); expected: \(40, 156\)"),
        ({**clip_parts(), "trans": np.zeros((39, 3))}, r"poses \(40, 156\); expected: \(39, 156\)"),
        ({**clip_parts(), "mocap_framerate": np.array(0.0)}, r"mocap_framerate 0.0; expected: frames per second"),
        ({**clip_parts(), "dmpls": np.zeros((7, 8))}, r"dmpls \(7, 8\); expected: \(40, 8\)"),
        ({**clip_parts(), "gender": "unknown"}, r"gender unknown; expected: female, male, neutral"),
        ({k: v for k, v in clip_parts().items() if k != "betas"}, "no betas among"),
        ({**clip_parts(new=True), "pose_body": np.zeros((40, 66))}, r"pose_body \(40, 66\); expected: \(40, 63\)"),
        ({**clip_parts(new=True), "surface_model_type": "smplx"}, "another body; found: smplx; expected: smplh"),
    ],
)
def test_what_is_no_clip_is_refused_by_what_it_lacks(bodies, tmp_path, parts, message):
    np.savez(tmp_path / "shape.npz", **parts)
    with pytest.raises(MixsteError, match=message) as caught:
        read(tmp_path / "shape.npz", bodies=bodies)
    assert not isinstance(caught.value, SourceError)


def test_only_what_is_needed_of_a_file_is_read(tmp_path):
    """Objects in arrays that nobody asks for are never looked at."""
    clip = read_clip(write_clip(tmp_path / "clip.npz", new=True, labels=np.array([print], dtype=object)))
    assert clip.motion.turns.shape == (40, 52, 3)


def test_a_regressor_of_another_order_is_told_by_its_limbs(regressed, tmp_path):
    """Some files with Human3.6M's joints have the left leg first."""
    np.save(tmp_path / "regressor.npy", regressor()[list(H36M.flip)])
    with pytest.raises(SourceError, match=r"another order; found: r_hip where l_hip should be"):
        read(write_clip(tmp_path / "clip.npz"), bodies=regressed)
    np.save(tmp_path / "regressor.npy", regressor()[:14])
    with pytest.raises(SourceError, match=r"found: 14 joints; expected: 17"):
        read(write_clip(tmp_path / "clip.npz"), bodies=regressed)


def test_a_damaged_body_model_is_the_sources_fault(bodies, tmp_path):
    (bodies.models / "male/model.npz").write_bytes(b"damaged")
    with pytest.raises(SourceError, match=r"cannot read .*male/model.npz"):
        read(write_clip(tmp_path / "clip.npz"), bodies=bodies)
