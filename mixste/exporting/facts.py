"""What whoever runs an exported model must know; it travels inside the file, as JSON under `mixste`."""

import json
from typing import Any

from mixste.models.checkpoint import ModelConfig
from mixste.recipe import ModelSettings
from mixste.skeleton import load_skeleton

KEY = "mixste"
INPUT, OUTPUT = "keypoints", "joints"
CHANNELS = ("x", "y", "confidence")


def lengths(settings: ModelSettings) -> tuple[int, int]:
    """Return the fewest and the most frames of a window; one whose centre is kept is always whole."""
    return (settings.frames if settings.output == "centre" else 1), settings.frames


def describe(config: ModelConfig, precision: str) -> dict[str, Any]:
    """Return a model's input and output in words and numbers, plain enough for JSON.

    `lengths` are the fewest and the most frames of a window, `step` frames of the video lie between two of them, and
    `output` says whether every frame comes back or the centre one. `flip` swaps left and right joints.
    """
    model, skeleton = config.model, load_skeleton(config.skeleton)
    return {
        "architecture": model.architecture,
        "channels": list(CHANNELS[: model.channels]),
        "flip": list(skeleton.flip),
        "fps": config.fps,
        "frame": config.frame,
        "frames": model.frames,
        "joint_names": list(skeleton.joints),
        "lengths": list(lengths(model)),
        "output": model.output,
        "parents": list(skeleton.parents),
        "precision": precision,
        "provenance": config.provenance,
        "screen": config.screen,
        "skeleton": config.skeleton,
        "step": model.step,
        "unit": config.unit,
    }


def as_json(facts: dict[str, Any]) -> str:
    """Return facts as JSON that is the same for the same facts."""
    return json.dumps(facts, sort_keys=True)
