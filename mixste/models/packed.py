"""Lifters for CPUs whose inner linear layers multiply 16 or 8 bits, weights laid out once as products read them.

For 8 bits weights are rounded once, each output by its own scale; what comes in is rounded as it comes, by one scale
for a whole batch: a window's result depends a little on what lies beside it. The first layer and the last stay as they
are: they cost next to nothing, and half of the error would be theirs.
"""

from abc import abstractmethod
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from mixste.errors import MixsteError
from mixste.models.base import PoseModel
from mixste.models.kernels import native
from mixste.models.layers import Mlp, Packed, inexact_linears

_WEIGHT, _INPUT = 127, 255  # steps on one side of zero, and in all
_PRODUCTS = {"bf16": ("avx512_bf16", "amx_bf16"), "int8": ("avx512_vnni", "avx_vnni", "amx_int8")}


class _PackedLinear(Packed):
    """A linear layer whose `weight` (d c) is laid out; copies and other processes get it plain and lay it out."""

    weight: Tensor

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "weight": self._plain(self.weight)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "weight": self._laid_out(state["weight"])})

    @staticmethod
    @abstractmethod
    def _laid_out(weight: Tensor) -> Tensor:
        """Lay a weight out as products read it."""

    @staticmethod
    def _plain(weight: Tensor) -> Tensor:
        return weight.to_dense()


class Int8Linear(_PackedLinear):
    """A linear layer of 8 bits and what follows it, "none" or "gelu"; what it gives is float32."""

    def __init__(self, linear: nn.Linear, then: str = "none") -> None:
        super().__init__()
        weight = linear.weight.detach()
        scales = (weight.abs().amax(dim=1) / _WEIGHT).clamp_min(torch.finfo(weight.dtype).tiny)
        rounded = (weight / scales[:, None]).round().to(torch.int8)
        self.weight = self._laid_out(rounded)
        self.scales, self.zeros = scales, torch.zeros(len(scales), dtype=torch.int32)
        self.bias = None if linear.bias is None else linear.bias.detach()
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        """`... c -> ... d`."""
        low, high = map(float, torch.aminmax(x))
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / (_INPUT - 1) or 1.0  # a step is left for where zero falls between two
        zero = round(-low / scale)
        if x.dtype == torch.float32 and native.takes(x):
            rounded = native.rounded(x, 1 / scale, zero + 0.5)
        else:
            rounded = torch.add(zero + 0.5, x, alpha=1 / scale).to(torch.uint8)
        scales = (self.scales, self.zeros, self.bias, 1.0, 0, torch.float32)
        return torch.ops.onednn.qlinear_pointwise(rounded, scale, zero, self.weight, *scales, self.then, [], "none")

    @staticmethod
    def _laid_out(weight: Tensor) -> Tensor:
        return torch.ops.onednn.qlinear_prepack(weight, None)

    @staticmethod
    def _plain(weight: Tensor) -> Tensor:
        return weight.to_dense().t().contiguous()


class Bf16Linear(_PackedLinear):
    """A linear layer of bfloat16 and what follows it, "none" or "gelu"; what it gives is bfloat16."""

    def __init__(self, linear: nn.Linear, then: str = "none") -> None:
        super().__init__()
        self.weight = self._laid_out(linear.weight.detach().bfloat16())
        self.bias = None if linear.bias is None else linear.bias.detach().bfloat16()
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        """`... c -> ... d`."""
        return torch.ops.mkldnn._linear_pointwise(x.bfloat16(), self.weight, self.bias, self.then, [], "none")

    @staticmethod
    def _laid_out(weight: Tensor) -> Tensor:
        return torch.ops.mkldnn._reorder_linear_weight(weight)


class PackedMlp(Packed):
    """Two such layers, of which the first ends with a GELU."""

    def __init__(self, first: Packed, second: Packed) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        """`... c -> ... c`."""
        return self.second(self.first(x))


def packed(model: PoseModel, precision: str, device: torch.device) -> PoseModel:
    """Return a model for inference on its device: itself, or for `bf16` and `int8` on a CPU a copy of packed layers.

    One that is packed already stays as it is.

    MixsteError for `int8` where that would be slower than float32, or wrong: on a GPU, and on a CPU without 8-bit
    products. `bf16` without such products stays as it is.
    """
    if precision == "fp32" or any(isinstance(module, Packed) for module in model.modules()):
        return model
    if precision == "bf16" and not (device.type == "cpu" and has_products("bf16")):
        return model
    found = device.type if device.type != "cpu" else "" if has_products("int8") else "a CPU without VNNI"
    if precision == "int8" and found:
        raise MixsteError(
            "cannot lift in int8", found=found, expected="an x86 CPU with VNNI", mend="use precision fp32 or bf16"
        )
    return _packed(model, Int8Linear if precision == "int8" else Bf16Linear)


def _packed(model: PoseModel, kind: type[Int8Linear | Bf16Linear]) -> PoseModel:
    mlps = {name: module for name, module in model.named_modules() if isinstance(module, Mlp)}
    layers: dict[str, nn.Module] = {name: PackedMlp(kind(mlp.fc1, "gelu"), kind(mlp.fc2)) for name, mlp in mlps.items()}
    for name, linear in inexact_linears(model):
        if name.rpartition(".")[0] not in mlps:
            layers[name] = kind(linear)
    copy = deepcopy(model)
    for name, layer in layers.items():
        copy.set_submodule(name, layer)
    return copy


def has_products(precision: str) -> bool:
    """Whether this CPU multiplies `bf16` or `int8` without overflow, and faster than float32."""
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in _PRODUCTS[precision])
