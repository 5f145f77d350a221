"""A file is written only if it does what the model does, whatever the batch and the length."""

import json
import sys
from copy import deepcopy

import onnx
import pytest
import torch

from mixste.errors import MixsteError
from mixste.exporting import export as exporting
from mixste.exporting import onnx_file, torch_file
from mixste.exporting.export import LIMITS, export
from mixste.exporting.facts import KEY, describe
from mixste.inference import lift
from mixste.models import CLASSES
from mixste.models.checkpoint import ModelConfig
from tests.unit.factories import FPS, SKELETON, model

RUNNERS = {".onnx": onnx_file.Runner, ".pt2": torch_file.Runner}


def made(**settings):
    network = model(**{"depth": 1, "width": 8, **settings})
    origin = {"licence": "free", "stage": "finetune"}
    return network, ModelConfig(model=network.settings, skeleton=SKELETON, fps=FPS, provenance=origin)


def keypoints(network, batch, frames):
    windows = torch.rand(batch, frames, 17, network.settings.channels) - 0.5
    windows[:, :, 3] = 0
    return windows


def sizes(network):
    lengths = (9,) if network.settings.architecture == "pstmo" else (1, 2, 5, 9)
    return [(batch, frames) for batch in (1, 2, 7) for frames in lengths]


@pytest.mark.parametrize("ending", RUNNERS)
@pytest.mark.parametrize("architecture", CLASSES)
def test_the_file_lifts_as_the_model_does_in_every_size(tmp_path, architecture, ending):
    network, config = made(architecture=architecture)
    report = export(network, config, tmp_path / f"out{ending}")
    assert report.parity.most < LIMITS["fp32"].value
    run = RUNNERS[ending](tmp_path / f"out{ending}")
    for size in sizes(network):
        windows = keypoints(network, *size)
        torch.testing.assert_close(run(windows), lift(network, windows), atol=1e-5, rtol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == [f"out{ending}"]


def test_a_long_window_is_lifted_as_a_short_one_is(tmp_path):
    """The model takes another way through its attention for 70 tokens, and for 140, than for few."""
    network, config = made(frames=141, channels=2, output="centre", step=3)
    export(network, config, tmp_path / "out.pt2")
    run = torch_file.Runner(tmp_path / "out.pt2")
    for frames in (3, 71, 141):
        windows = keypoints(network, 2, frames)
        assert run(windows).shape == (2, 1, 17, 3)
        torch.testing.assert_close(run(windows), lift(network, windows), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("ending", "precision"), [(".onnx", "bf16"), (".onnx", "int8"), (".pt2", "bf16")])
def test_a_variant_is_smaller_and_its_error_is_measured_beside_its_speed(tmp_path, ending, precision):
    network, config = made(width=32)
    plain, small = (export(network, config, tmp_path / f"{p}{ending}", precision=p) for p in ("fp32", precision))
    assert small.path.stat().st_size < plain.path.stat().st_size
    assert plain.error.mean < 1e-3 < small.error.mean < LIMITS[precision].value
    assert small.speeds.keys() == {"model", "fp32", precision}
    assert min(small.speeds.values()) > 0
    windows = keypoints(network, 3, 5)
    apart = RUNNERS[ending](small.path)(windows) - lift(network, windows)
    assert 0 < apart.norm(dim=-1).mean() * 1000 < LIMITS[precision].value


def test_what_its_numbers_mean_is_in_the_file(tmp_path):
    network, config = made()
    export(network, config, tmp_path / "out.onnx")
    export(network, config, tmp_path / "out.pt2")
    inside = {entry.key: entry.value for entry in onnx.load(tmp_path / "out.onnx").metadata_props}
    extra = {torch_file.NAME: ""}
    torch.export.load(tmp_path / "out.pt2", extra_files=extra)
    facts = json.loads(inside[KEY])
    assert facts == json.loads(extra[torch_file.NAME]) == describe(config, "fp32")
    assert facts["joint_names"][0] == "hip"
    assert facts["channels"] == ["x", "y", "confidence"]
    assert facts["lengths"] == [1, 9]
    assert facts["provenance"]["licence"] == "free"


@pytest.mark.parametrize("write", [torch_file.write, onnx_file.write])
def test_the_same_model_gives_the_same_bytes_and_no_paths_of_this_machine(tmp_path, root, write):
    network, config = made()
    for name in "ab":
        write(network, describe(config, "fp32"), tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    assert str(root).encode() not in first
    assert b".py" not in first


@pytest.mark.parametrize("bias", [0.001, float("nan")])
def test_a_file_that_is_off_is_refused_and_not_kept(tmp_path, monkeypatch, bias):
    network, config = made()
    trace = torch_file.trace

    def wrong(right):
        other = deepcopy(right)
        with torch.no_grad():
            other.head.bias[2] += bias
        return trace(other)

    monkeypatch.setattr(torch_file, "trace", wrong)
    with pytest.raises(MixsteError, match=r"fp32 in .*out.pt2 is too far from the model and was not kept; found: mean"):
        export(network, config, tmp_path / "out.pt2")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out.pt2").write_text("older")
    with pytest.raises(MixsteError, match="expected: at most 0.05"):
        export(network, config, tmp_path / "out.pt2")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["older"]


@pytest.mark.parametrize(
    ("name", "precision", "message"),
    [
        ("out.tflite", "fp32", r"cannot export to .*out.tflite; found: .tflite; expected: .onnx or .pt2"),
        ("out", "fp32", "found: no ending"),
        ("out.pt2", "int8", "expected: fp32, bf16; to mend it: export int8 to .onnx"),
        ("out.onnx", "fp16", "found: fp16; expected: fp32, bf16, int8"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, precision, message):
    with pytest.raises(MixsteError, match=message):
        export(*made(), tmp_path / name, precision=precision)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_extra_is_one_message_that_names_it(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, onnx_file.__name__)
    monkeypatch.delattr("mixste.exporting.onnx_file")
    with pytest.raises(MixsteError, match=f"found: no package {package}; to mend it: pip install 'mixste\\[export\\]'"):
        exporting.format_of(exporting.Path("out.onnx"), "fp32")
