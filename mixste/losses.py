"""Training losses: pure functions of predicted and true joints `b t j 3`, metres, root-relative, to a scalar."""

import torch
from torch import Tensor

from mixste.metrics import scale_to_target

# How much each joint counts in MixSTE's losses (Zhang et al. 2022), as its code has it. HumanEva's, too, are in the
# order of Human3.6M's joints, without two of the trunk, so that they fall on other joints than were meant.
MIXSTE_WEIGHTS = {
    "h36m17": (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4),
    "h36m16": (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4),
    "humaneva15": (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4),
}


def joint_weights(skeleton: str, joints: int) -> Tensor:
    """MixSTE's weight for each joint (j) as its code has it, or ones for a skeleton that the paper does not know."""
    return torch.tensor(MIXSTE_WEIGHTS.get(skeleton, (1.0,) * joints), dtype=torch.float32)


def mpjpe(predicted: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean distance between predicted and true joints, each joint weighted by `weights` (j)."""
    distance = (predicted - target).norm(dim=-1)
    return (distance if weights is None else weights * distance).mean()


def n_mpjpe(predicted: Tensor, target: Tensor) -> Tensor:
    """MPJPE after the one scale per frame that fits the prediction best."""
    return mpjpe(scale_to_target(predicted, target), target)


def velocity_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean distance between predicted and true steps from frame to frame; 0 for single frames."""
    if predicted.shape[1] < 2:
        return predicted.new_zeros(())
    return (predicted.diff(dim=1) - target.diff(dim=1)).norm(dim=-1).mean()


def temporal_consistency(predicted: Tensor, weights: Tensor) -> Tensor:
    """MixSTE's TC-loss: mean squared step of the prediction, weighted by joint; it knows no target."""
    if predicted.shape[1] < 2:
        return predicted.new_zeros(())
    return (weights[:, None] * predicted.diff(dim=1).square()).mean()
