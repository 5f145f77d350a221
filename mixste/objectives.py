"""What a training step asks of a model: what it sees, and what it is charged for."""

from typing import Protocol

import torch
from torch import Generator, Tensor

from mixste import losses
from mixste.corruption import corrupt
from mixste.recipe import CorruptionSettings, LiftLoss, SupervisedLoss


class Objective(Protocol):
    """A way to train: inputs from keypoints, a loss from predictions."""

    def inputs(self, keypoints: Tensor, generator: Generator) -> Tensor:
        """Keypoints `b t j 3` as the model shall see them."""

    def loss(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Weighted parts of the loss of `b t j 3`, metres, root-relative; the loss is their sum."""


class Lift:
    """Pre-training: recover 3D from corrupted exact projections."""

    def __init__(self, corruption: CorruptionSettings, settings: LiftLoss) -> None:
        self.corruption = corruption
        self.settings = settings

    def inputs(self, keypoints: Tensor, generator: Generator) -> Tensor:
        """Corrupt keypoints `b t j 3`."""
        return corrupt(keypoints, self.corruption, generator)

    def loss(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """MPJPE, N-MPJPE and velocity error."""
        return {
            "mpjpe": losses.mpjpe(predicted, target),
            "n_mpjpe": self.settings.n_mpjpe * losses.n_mpjpe(predicted, target),
            "velocity": self.settings.velocity * losses.velocity_error(predicted, target),
        }


class Supervised:
    """Fine-tuning: MixSTE's weighted MPJPE, temporal consistency and velocity error on detections as they are."""

    def __init__(self, settings: SupervisedLoss, *, skeleton: str, joints: int) -> None:
        self.settings = settings
        self.weights = losses.joint_weights(skeleton, joints) if settings.weighted else torch.ones(joints)

    def inputs(self, keypoints: Tensor, generator: Generator) -> Tensor:
        """Detections are used as they are."""
        return keypoints

    def loss(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Weighted MPJPE, TC-loss and velocity error."""
        weights = self.weights.to(predicted.device)
        return {
            "w_mpjpe": losses.mpjpe(predicted, target, weights),
            "temporal": self.settings.temporal * losses.temporal_consistency(predicted, weights),
            "velocity": self.settings.velocity * losses.velocity_error(predicted, target),
        }
