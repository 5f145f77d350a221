"""Optimisers and learning-rate schedules by name; the rate is a function of the step, so nothing of it is stored."""

import math

import torch
from torch import nn, optim

from mixste.models import MaskedModel, PoseModel
from mixste.recipe import OptimiserSettings


def build_optimiser(model: PoseModel | MaskedModel, settings: OptimiserSettings) -> optim.Optimizer:
    """One optimiser for every parameter, norms and positions included, as the papers do.

    The rate of a group of parameters is its `share` of the schedule's.
    """
    kind = {"adam": optim.Adam, "adamw": optim.AdamW}[settings.name]
    shares = {False: 1.0, True: settings.output_share}
    members: dict[float, list[nn.Parameter]] = {share: [] for share in shares.values()}
    for name, parameter in model.named_parameters():
        members[shares[name.startswith(model.output_layers)]].append(parameter)
    groups = [{"params": own, "share": share} for share, own in members.items()]
    return kind(groups, settings.lr, weight_decay=settings.weight_decay, amsgrad=settings.amsgrad, fused=True)


def shrink_outputs(model: PoseModel | MaskedModel, share: float) -> None:
    """Let the output layers of a fresh model begin at a share of their weights."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(model.output_layers):
                parameter.mul_(share)


def learning_rate(settings: OptimiserSettings, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Rate at a step: linear warm-up, then cosine to 0, `decay` per epoch, or constant."""
    total = steps_per_epoch * epochs
    warmup = round(settings.warmup * total)
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    if settings.schedule == "cosine":
        return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
    if settings.schedule == "decay":
        return settings.lr * settings.decay ** (step // steps_per_epoch)
    return settings.lr
