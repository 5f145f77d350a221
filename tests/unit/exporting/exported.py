"""Tiny models to export, and keypoints to lift with them."""

import torch

from mixste.models.checkpoint import ModelConfig
from tests.unit.factories import FPS, SKELETON, model

LICENCE = "free for all"


def made(**settings):
    """A model and its config; the smallest there is unless said otherwise."""
    network = model(**{"depth": 1, "width": 32, **settings})
    origin = {"licence": LICENCE, "stage": "finetune"}
    return network, ModelConfig(model=network.settings, skeleton=SKELETON, fps=FPS, provenance=origin)


def keypoints(network, batch, frames):
    """Random windows, in which a joint is hidden."""
    windows = torch.rand(batch, frames, 17, network.settings.channels) - 0.5
    windows[:, :, 3] = 0
    return windows


def sizes(network):
    """Batches and lengths, others than the export tries."""
    lengths = (9,) if network.settings.output == "centre" else (1, 3, 6, 9)
    return [(batch, frames) for batch in (1, 2, 7) for frames in lengths]
