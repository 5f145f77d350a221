"""Lifters of tiny models, pixels of a person, and a model that gives back what it is given."""

from typing import Any

import numpy as np
import torch

from mixste.lifter import Lifter
from mixste.models import PoseModel
from mixste.models.checkpoint import ModelConfig
from mixste.skeleton import load_skeleton
from tests.unit.factories import FPS, SKELETON, model, model_settings

SIZE = (1000, 800)


def lifter(*, flip=True, unit="m", **settings: Any) -> Lifter:
    network = model(**settings)
    return Lifter(network, ModelConfig(model=network.settings, skeleton=SKELETON, fps=FPS, unit=unit), flip=flip)


class Echo(PoseModel):
    """Gives x, y and confidence as X, Y and Z; remembers the most windows that it was given at once."""

    most = 0

    def forward(self, keypoints: torch.Tensor) -> torch.Tensor:
        self.most = max(self.most, len(keypoints))
        x, y = keypoints[..., :1], keypoints[..., 1:2]
        return torch.cat([x, y, keypoints[..., 2:] if keypoints.shape[-1] == 3 else torch.zeros_like(x)], dim=-1)


def echo(*, fps=FPS, batch_size=None, **settings: Any) -> Lifter:
    network = Echo(model_settings(**settings), 17)
    config = ModelConfig(model=network.settings, skeleton=SKELETON, fps=fps)
    return Lifter(network, config, flip=False, batch_size=batch_size)


def flat(metres: float) -> Lifter:
    """A MixSTE set by hand: X and Y are `metres` times x and y in screen units, nearly, and Z is 0."""
    own = lifter(width=16, depth=1)
    large = 30.0  # beside it, what the norms divide by does not depend on x and y
    with torch.no_grad():
        for name, weights in own.model.named_parameters():
            weights.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        own.model.embed.weight[:4, :2] = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        own.model.embed.bias[4:6] = torch.tensor([large, -large])
        own.model.head.weight[[0, 1], [0, 2]] = metres * large * (2 / 16) ** 0.5
    return own


# Where joints are of a person who stands upright before the camera, pixels; left is to the right.
PLACES = {"head": (0, 100), "nose": (0, 140), "neck": (0, 150), "eye": (10, 130), "ear": (15, 135), "mouth": (8, 150)}
PLACES |= {"thorax": (0, 180), "spine": (0, 270), "hip": (0, 350), "shoulder": (50, 190), "elbow": (70, 270)}
PLACES |= {"wrist": (80, 340), "knee": (45, 480), "ankle": (45, 610), "toe": (55, 630), "heel": (42, 625)}
PLACES |= {"index": (85, 360), "pinky": (80, 360), "thumb": (75, 350)}


def place(joint: str) -> tuple[float, float]:
    """A joint's place by a part of its name; hips at the sides are apart."""
    x, y = next((at for name, at in PLACES.items() if joint.removeprefix("upper_").endswith(name)), (20, 640))
    side = {"l": 1, "r": -1}.get(joint.split("_")[0], 0)
    return 500 + side * (x or 35), y


def person(frames=40, *, fps=FPS, skeleton=SKELETON, channels=3, seed=0) -> np.ndarray:
    """Pixels (t j c) of joints that swing smoothly at up to 1 Hz about where they stand, confidence 1."""
    rng = np.random.default_rng(seed)
    middle = np.array([place(joint) for joint in load_skeleton(skeleton).joints])
    phase, rate = rng.uniform(0, 6, middle.shape), rng.uniform(0.3, 1.0, middle.shape)
    time = np.arange(frames)[:, None, None] / fps
    xy = middle + 15 * np.sin(2 * np.pi * rate * time + phase)
    return np.concatenate([xy, np.ones((*xy.shape[:2], channels - 2))], axis=-1)


def screen(pixels: np.ndarray) -> np.ndarray:
    return pixels / (SIZE[0] / 2) - np.array([1, SIZE[1] / SIZE[0]])


def rooted(joints: np.ndarray) -> np.ndarray:
    return joints - joints[:, :1]
