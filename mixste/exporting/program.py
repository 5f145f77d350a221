"""A model as a program that torch wrote down, for any number of windows and every length that the model takes."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional

from mixste.exporting.facts import INPUT, lengths
from mixste.inference import keep
from mixste.models import PoseModel
from mixste.models.layers import inexact_linears

AXES = {0: "batch", 1: "frames"}


class Lifting(nn.Module):
    """Windows `b t j c` to what lifting keeps of them: `b t j 3` or `b 1 j 3`."""

    def __init__(self, model: PoseModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, keypoints: Tensor) -> Tensor:
        """Lift without flip averaging, in float32 from end to end."""
        return keep(self.model(keypoints), self.model.settings)


class StoredBf16Linear(nn.Module):
    """A linear layer whose weights are bf16 and that multiplies in bf16; what it is given and gives is float32."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().bfloat16(), requires_grad=False)
        self.bias = None
        if linear.bias is not None:
            self.bias = nn.Parameter(linear.bias.detach().bfloat16(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """`... c -> ... d`."""
        return functional.linear(x.bfloat16(), self.weight, self.bias).float()


def in_bf16(model: PoseModel) -> PoseModel:
    """Return a copy of a model whose linear layers, but the exact ones, are of bf16."""
    copy = deepcopy(model)
    for name, linear in inexact_linears(model):
        copy.set_submodule(name, StoredBf16Linear(linear))
    return copy


def axes(model: PoseModel) -> dict[int, str]:
    """Return the axes of the input that may have any size, and their names."""
    fewest, most = lengths(model.settings)
    return AXES if fewest < most else {0: AXES[0]}


def trace(model: PoseModel) -> ExportedProgram:
    """Write down what a model in evaluation mode does to windows on the CPU, for all sizes of its `axes`."""
    settings = model.settings
    bounds = {"batch": Dim("batch", min=1), "frames": Dim("frames", min=1, max=settings.frames)}
    example = torch.zeros(2, settings.frames, model.joints, settings.channels)
    shapes = {INPUT: {axis: bounds[name] for axis, name in axes(model).items()}}
    program = torch.export.export(Lifting(model).eval(), (example,), dynamic_shapes=shapes)
    for node in program.graph.nodes:  # they name this machine's files, and make the same model's files differ
        node.meta.pop("stack_trace", None)
    return program
