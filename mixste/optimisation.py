"""Optimisers and learning-rate schedules by name; the rate is a function of the step, so nothing of it is stored."""

import math

from torch import nn, optim

from mixste.recipe import OptimiserSettings


def build_optimiser(model: nn.Module, settings: OptimiserSettings) -> optim.Optimizer:
    """One optimiser for every parameter, norms and positions included, as the papers do."""
    kind = {"adam": optim.Adam, "adamw": optim.AdamW}[settings.name]
    return kind(
        model.parameters(), settings.lr, weight_decay=settings.weight_decay, amsgrad=settings.amsgrad, fused=True
    )


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
