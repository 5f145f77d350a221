import errno
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mixste.errors import MixsteError
from mixste.geometry import SCREEN
from mixste.models.checkpoint import CONFIG, WEIGHTS, ModelConfig, load_model, read_config, save_model
from tests.unit.factories import FPS, SKELETON, model


@pytest.fixture
def saved(tmp_path):
    network = model()
    config = ModelConfig(model=network.settings, skeleton=SKELETON, fps=FPS, provenance={"stage": "pretrain"})
    save_model(tmp_path / "model", network.state_dict(), config)
    return network, config, tmp_path / "model"


def change_weights(folder, change):
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


def test_a_model_comes_back_as_it_was_saved_in_evaluation_mode(saved):
    network, config, folder = saved
    loaded, loaded_config = load_model(folder)
    assert loaded_config == config
    assert not loaded.training
    own, other = network.state_dict(), loaded.state_dict()
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)


def test_the_configuration_says_unit_frame_screen_skeleton_and_fps(saved):
    values = json.loads((saved[2] / CONFIG).read_text())
    assert values["unit"] == "m"
    assert values["frame"].startswith("camera")
    assert values["screen"].startswith(SCREEN)
    assert (values["skeleton"], values["fps"]) == (SKELETON, FPS)


def test_equal_models_are_equal_bytes(saved, tmp_path):
    network, config, folder = saved
    save_model(tmp_path / "again", dict(reversed(network.state_dict().items())), config)
    for name in (WEIGHTS, CONFIG):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("head.bias"), "no head.bias"),
        (lambda weights: weights.update(extra=torch.zeros(1)), "unknown extra"),
        (lambda weights: weights.update({"head.bias": torch.zeros(4)}), r"head.bias is \(4,\), not \(3,\)"),
    ],
)
def test_missing_unknown_and_differently_shaped_weights_are_refused_by_name(saved, change, message):
    change_weights(saved[2], change)
    with pytest.raises(MixsteError, match=message):
        load_model(saved[2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "mm"}, "unit 'mm'; expected: unit: m, screen"),
        ({"frame": "world, Z up"}, "frame 'world, Z up'; expected: frame: camera, X right, Y down, Z forward"),
        ({"screen": "0..1"}, "screen '0..1'; expected: screen: x = u / width"),
        ({"kind": "detector"}, "kind 'detector'; expected: kind: lifter, masked"),
        ({"fps": "50"}, "fps '50'; expected: fps: a number above 0"),
        ({"fps": 0}, "fps 0; expected: fps: a number above 0"),
        ({"fps": float("nan"), "unit": "mm"}, "unit 'mm'; fps nan"),
    ],
)
def test_a_model_of_other_units_or_frames_is_refused_by_name(saved, changes, message):
    path = saved[2] / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(MixsteError, match=f"cannot use the model in .*; found: {message}"):
        load_model(str(saved[2]))


def test_a_truncated_weights_file_is_refused(saved):
    path = saved[2] / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MixsteError, match="not a whole safetensors file"):
        load_model(saved[2])


def test_a_pickle_is_refused_and_never_run(saved, tmp_path):
    class Trap:
        def __reduce__(self):
            return (type(tmp_path).touch, (tmp_path / "sprung",))

    (saved[2] / WEIGHTS).write_bytes(pickle.dumps({"head.bias": Trap()}))
    with pytest.raises(MixsteError, match="not a whole safetensors file"):
        load_model(saved[2])
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2]", "3", "{}", '{"model": {"depth": 2}}', '{"model": 3}', '{"model": null, "weights": 1}', "\x00\x80"],
)
def test_any_other_json_is_refused_naming_the_file(saved, text):
    (saved[2] / CONFIG).write_text(text, encoding="latin-1")
    with pytest.raises(MixsteError, match=CONFIG):
        read_config(saved[2])


def test_impossible_settings_are_refused(saved):
    values = json.loads((saved[2] / CONFIG).read_text())
    values["model"]["heads"] = 3
    (saved[2] / CONFIG).write_text(json.dumps(values))
    with pytest.raises(MixsteError, match="multiple of heads"):
        load_model(saved[2])


def test_a_full_disk_is_explained_and_nothing_half_written_is_kept(saved, tmp_path, monkeypatch):
    def full(path, data):
        path.touch()
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Path, "write_bytes", full)
    network, config, _ = saved
    with pytest.raises(MixsteError, match=f"{WEIGHTS}.*no space left"):
        save_model(tmp_path / "full", network.state_dict(), config)
    assert list((tmp_path / "full").iterdir()) == []


def test_a_masked_network_does_not_lift_and_says_what_to_do(saved):
    values = json.loads((saved[2] / CONFIG).read_text())
    assert values["kind"] == "lifter"
    (saved[2] / CONFIG).write_text(json.dumps({**values, "kind": "masked"}))
    assert read_config(saved[2]).kind == "masked"
    with pytest.raises(MixsteError, match=r"cannot lift.*masked.*fine-tune from it"):
        load_model(saved[2])


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(MixsteError, match=str(tmp_path / "nowhere")):
        load_model(tmp_path / "nowhere")


def test_a_folder_without_weights_is_named(saved):
    (saved[2] / WEIGHTS).unlink()
    with pytest.raises(MixsteError, match=f"{WEIGHTS}.*no such file"):
        load_model(saved[2])
