"""The `.onnx` file, in one piece, by torch's exporter that goes by torch.export; run by onnxruntime.

bf16 is how weights are stored: onnxruntime multiplies no bf16 on a CPU, and makes them float32 when it loads them. int8
is onnxruntime's dynamic quantisation: weights of 8 bits, activations made so as they come. In both the first layer and
the last stay float32: they cost next to nothing, and half of the error would be theirs.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from mixste.exporting.facts import INPUT, KEY, OUTPUT, as_json
from mixste.exporting.program import axes, trace
from mixste.models import PoseModel

PRECISIONS = ("fp32", "bf16", "int8")


class Writer:
    """A model's files, of any precision."""

    def __init__(self, model: PoseModel) -> None:
        with _quiet():
            made = torch.onnx.export(
                trace(model), dynamo=True, verbose=False, output_names=[OUTPUT], dynamic_shapes={INPUT: axes(model)}
            )
        self._plain: onnx.ModelProto = made.model_proto  # type: ignore[union-attr]
        for node in self._plain.graph.node:  # where in the code each comes from
            del node.metadata_props[:]

    def write(self, path: Path, facts: dict[str, Any]) -> None:
        """Write the file of the precision that its facts say."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self._plain)
        if facts["precision"] == "bf16":
            _store_bf16(proto.graph)
        elif facts["precision"] == "int8":
            proto = _quantised(proto)
        helper.set_model_props(proto, {KEY: as_json(facts)})
        path.write_bytes(proto.SerializeToString(deterministic=True))


class Runner:
    """The file's program: windows `b t j c` to joints."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, keypoints: Tensor) -> Tensor:
        """`b t j c -> b t j 3`, or `b 1 j 3`."""
        return torch.from_numpy(self._session.run([OUTPUT], {INPUT: keypoints.numpy()})[0])


def _inner_products(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the matrix products with weights, but for the first and the last."""
    weights = {tensor.name for tensor in graph.initializer}
    return [node for node in graph.node if node.op_type in ("MatMul", "Gemm") and node.input[1] in weights][1:-1]


def _store_bf16(graph: onnx.GraphProto) -> None:
    """Replace the weights of matrix products by bf16 ones that are cast to float32 before they are used."""
    used = {node.input[1] for node in _inner_products(graph)}
    for tensor in [each for each in graph.initializer if each.name in used]:
        rounded = torch.from_numpy(numpy_helper.to_array(tensor).copy()).bfloat16()
        name, raw = tensor.name, rounded.view(torch.int16).numpy().tobytes()
        stored = helper.make_tensor(f"{name}_bf16", TensorProto.BFLOAT16, tensor.dims, raw, raw=True)
        graph.initializer.remove(tensor)
        graph.initializer.append(stored)
        graph.node.insert(0, helper.make_node("Cast", [stored.name], [name], to=TensorProto.FLOAT))


def _quantised(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with weights and activations of 8 bits, both unsigned: CPUs without VNNI overflow otherwise."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    inner = [node.name for node in _inner_products(proto.graph)]
    with TemporaryDirectory(prefix="mixste-") as place, _quiet():
        out = Path(place) / "int8.onnx"
        quantize_dynamic(proto, out, nodes_to_quantize=inner, per_channel=True, weight_type=QuantType.QUInt8)
        return onnx.load(out)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to themselves what the exporters tell their own developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
