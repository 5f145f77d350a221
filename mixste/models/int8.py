"""A lifter whose linear layers multiply 8 bits, for CPUs that have such products (VNNI).

Weights are rounded once, each output by its own scale; what comes in is rounded as it comes, by one scale for a whole
batch: a window's result depends a little on what lies beside it. The first layer and the last stay float32: they cost
next to nothing, and half of the error would be theirs.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from mixste.errors import MixsteError
from mixste.models.base import PoseModel

FIRST = ("embed", "embed.first.linear")  # P-STMO's
_WEIGHT, _INPUT = 127, 255  # steps on one side of zero, and in all


class Int8Linear(nn.Module):
    """A linear layer of 8 bits; what it is given and gives is float32. For inference on a CPU."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scales = (weight.abs().amax(dim=1) / _WEIGHT).clamp_min(torch.finfo(weight.dtype).tiny)
        rounded = (weight / scales[:, None]).round().to(torch.int8)
        self.weight = torch.ops.onednn.qlinear_prepack(rounded, None)
        self.scales, self.zeros = scales, torch.zeros(len(scales), dtype=torch.int32)
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """`... c -> ... d`."""
        low, high = map(float, torch.aminmax(x))
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / (_INPUT - 1) or 1.0  # a step is left for where zero falls between two
        zero = round(-low / scale)
        rounded = torch.add(zero + 0.5, x, alpha=1 / scale).to(torch.uint8)
        return torch.ops.onednn.qlinear_pointwise(
            rounded, scale, zero, self.weight, self.scales, self.zeros, self.bias, 1.0, 0, torch.float32, "none", [], ""
        )


def in_int8(model: PoseModel) -> PoseModel:
    """Return a copy of a model for inference whose inner linear layers are of 8 bits.

    MixsteError where that would be slower than float32, or wrong: on a GPU, and on a CPU without 8-bit products.
    """
    device = next(model.parameters()).device
    found = device.type if device.type != "cpu" else "" if has_products() else "a CPU without VNNI"
    if found:
        raise MixsteError(
            "cannot lift in int8", found=found, expected="an x86 CPU with VNNI", mend="use precision fp32 or bf16"
        )
    copy = deepcopy(model)
    for name, module in model.named_modules():
        inner = name not in FIRST and not f"{name}.".startswith(model.output_layers)
        if inner and isinstance(module, nn.Linear):
            copy.set_submodule(name, Int8Linear(module))
    return copy


def has_products() -> bool:
    """Whether this CPU multiplies 8 bits without overflow, and faster than float32."""
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))
