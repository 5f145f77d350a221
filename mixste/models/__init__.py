"""The lifters: every architecture by name."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint as recomputed

from mixste.models.base import PoseModel
from mixste.models.layers import Block
from mixste.models.masked import MaskedPose
from mixste.models.mixste import MixSTE
from mixste.models.pstmo import PSTMO, PoseBlock
from mixste.models.pstmo_masked import MaskedPSTMO
from mixste.models.stcformer import STCBlock, STCFormer, STCFormer3DHP
from mixste.recipe import ModelSettings

__all__ = [
    "CLASSES",
    "MaskedModel",
    "MixSTE",
    "PoseModel",
    "build_masked",
    "build_model",
    "compile_blocks",
    "count_parameters",
    "masked_class",
    "recompute_blocks",
]

CLASSES: dict[str, type[PoseModel]] = {
    "mixste": MixSTE,
    "pstmo": PSTMO,
    "stcformer": STCFormer,
    "stcformer_3dhp": STCFormer3DHP,
}

MaskedModel = MaskedPose | MaskedPSTMO


def build_model(settings: ModelSettings, *, joints: int) -> PoseModel:
    """A fresh model for a skeleton of so many joints, initialised from torch's global random state."""
    return CLASSES[settings.architecture](settings, joints)


def masked_class(settings: ModelSettings) -> type[MaskedModel]:
    """The masked network whose weights a lifter of these settings takes over."""
    return MaskedPSTMO if settings.architecture == "pstmo" else MaskedPose


def build_masked(settings: ModelSettings, *, joints: int) -> MaskedModel:
    """A fresh masked network, whose weights `build_model` of the same settings takes over."""
    if settings.architecture == "pstmo":
        return MaskedPSTMO(settings, joints)
    return MaskedPose(build_model(settings, joints=joints))


def count_parameters(model: nn.Module) -> int:
    """Numbers in a model's parameters as the field counts them: bare ones, norms, and what is there but never used."""
    return sum(parameter.numel() for parameter in model.parameters())


def compile_blocks(model: nn.Module) -> None:
    """Let blocks that have no kernels of ours be compiled in training; those that differ in weights alone, once."""
    for block in _blocks(model):
        block.forward = _compiled_in_training(block)


def recompute_blocks(model: nn.Module) -> None:
    """Let blocks keep only their input for the backward pass, which computes the rest again: less memory, more work."""
    for block in _blocks(model):
        block.forward = partial(recomputed, block.forward, use_reentrant=False)


def _blocks(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, Block | PoseBlock | STCBlock)]


def _compiled_in_training(block: nn.Module) -> Callable[..., Any]:
    plain, compiled = block.forward, torch.compile(block.forward, dynamic=False)

    def forward(x: Any, *norm: nn.LayerNorm) -> Any:
        in_kernels = isinstance(block, Block) and block.in_kernels(x, *norm)
        return (compiled if block.training and not in_kernels else plain)(x, *norm)

    return forward
