"""The ONNX file: the model in onnxruntime, for every batch and length, in three precisions."""

import json
import runpy
import sys
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mixste.errors import MixsteError
from mixste.exporting import onnx_file
from mixste.exporting.export import LIMITS, export, format_of
from mixste.exporting.facts import KEY, describe
from mixste.inference import lift
from tests.unit.exporting.exported import keypoints, made, sizes
from tests.unit.lifters import SIZE, lifter, person, rooted, screen


@cache
def writer(architecture):
    """Translating a model takes seconds."""
    return onnx_file.Writer(made(architecture=architecture)[0])


def written(path, precision="fp32", architecture="mixste"):
    network, config = made(architecture=architecture)
    writer(architecture).write(path, describe(config, precision))
    return network, onnx_file.Runner(path)


@pytest.mark.parametrize("architecture", ["mixste", "pstmo", "stcformer"])  # stcformer_3dhp's layers are stcformer's
def test_the_file_lifts_as_the_model_does_in_every_size(tmp_path, architecture):
    network, run = written(tmp_path / "out.onnx", architecture=architecture)
    for size in sizes(network):
        windows = keypoints(network, *size)
        torch.testing.assert_close(run(windows), lift(network, windows), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_variant_is_smaller_and_its_error_is_measured_beside_its_speed(tmp_path, monkeypatch, precision):
    held = writer("mixste")
    monkeypatch.setattr(onnx_file, "Writer", lambda model: held)
    plain, small = (export(*made(), tmp_path / f"{each}.onnx", precision=each) for each in ("fp32", precision))
    assert small.path.stat().st_size < plain.path.stat().st_size
    assert plain.error.mean < 1e-3 < small.error.mean < LIMITS[precision].value
    assert small.speeds.keys() == {"model", "fp32", precision}
    assert min(small.speeds.values()) > 0


def test_int8_leaves_the_first_and_the_last_layer_alone(tmp_path):
    written(tmp_path / "out.onnx", "int8")
    graph = onnx.load(tmp_path / "out.onnx").graph
    products = [node.op_type for node in graph.node if node.op_type.startswith("MatMul") and _weight(graph, node)]
    assert products == ["MatMul", *["MatMulInteger"] * 8, "MatMul"]


def _weight(graph, node):
    return node.input[1] in {tensor.name for tensor in graph.initializer}


def test_bf16_is_how_inner_weights_are_stored(tmp_path):
    written(tmp_path / "out.onnx", "bf16")
    stored = [each for each in onnx.load(tmp_path / "out.onnx").graph.initializer if each.data_type == 16]
    assert len(stored) == 8
    assert {len(each.dims) for each in stored} == {2}


def test_what_its_numbers_mean_is_in_the_file_and_its_axes_have_names(tmp_path, root):
    written(tmp_path / "out.onnx")
    model = onnx.load(tmp_path / "out.onnx")
    assert json.loads(model.metadata_props[0].value) == describe(made()[1], "fp32")
    assert model.metadata_props[0].key == KEY
    for value, name in ((model.graph.input[0], "keypoints"), (model.graph.output[0], "joints")):
        assert value.name == name
        assert [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim] == [
            "batch",
            "frames",
            17,
            3,
        ]


def test_the_file_is_whole_valid_and_says_nothing_of_this_machine(tmp_path, root):
    written(tmp_path / "out.onnx")
    onnx.checker.check_model(tmp_path / "out.onnx", full_check=True)
    data = (tmp_path / "out.onnx").read_bytes()
    assert str(root).encode() not in data
    assert b".py" not in data
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"]


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_extra_is_one_message_that_names_it(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, onnx_file.__name__)
    monkeypatch.delattr("mixste.exporting.onnx_file")
    with pytest.raises(MixsteError, match=f"found: no package {package}; to mend it: pip install 'mixste\\[export\\]'"):
        format_of(Path("out.onnx"), "fp32")


@pytest.mark.parametrize(("architecture", "frames"), [("mixste", 36), ("pstmo", 20)])
def test_the_example_lifts_pixels_as_the_lifter_does(tmp_path, root, monkeypatch, architecture, frames):
    written(tmp_path / "out.onnx", architecture=architecture)
    pixels = person(frames)
    pixels[5, 3] = 0
    np.save(tmp_path / "pixels.npy", pixels)
    arguments = [tmp_path / "out.onnx", tmp_path / "pixels.npy", *SIZE, tmp_path / "joints.npy"]
    monkeypatch.setattr(sys, "argv", ["onnx_lift.py", *map(str, arguments)])
    runpy.run_path(str(root / "examples/onnx_lift.py"), run_name="__main__")
    given = np.concatenate([screen(pixels[..., :2]), pixels[..., 2:]], axis=-1) * (pixels[..., 2:] > 0)
    own = lifter(flip=False, architecture=architecture, depth=1, width=32)
    expected = rooted(own.predict(given[None], overlap=0)[0])
    np.testing.assert_allclose(np.load(tmp_path / "joints.npy"), expected, atol=1e-5)
