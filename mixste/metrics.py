"""The field's error measures: pure functions of predicted and true joints `... t j 3`, in the unit they are given.

Each returns one number per frame or per joint; averaging over frames, actions and subjects is the caller's (`scoring`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def joint_errors(predicted: Tensor, target: Tensor) -> Tensor:
    """Distance of every joint: `... t j 3 -> ... t j`. MPJPE is its mean."""
    return (predicted - target).norm(dim=-1)


def scale_to_target(predicted: Tensor, target: Tensor) -> Tensor:
    """Scale every predicted frame by the least-squares factor <target, predicted> / <predicted, predicted>."""
    inner = (target * predicted).sum(dim=(-2, -1), keepdim=True)
    square = predicted.square().sum(dim=(-2, -1), keepdim=True)
    return predicted * inner / square.clamp_min(torch.finfo(predicted.dtype).tiny)


def align_to_target(predicted: Tensor, target: Tensor) -> Tensor:
    """Procrustes: scale, rotate (never mirror) and move every predicted frame onto its target, `... j 3`.

    A frame whose joints all coincide has no rotation; it is moved onto the target's centre.
    """
    predicted_centre, target_centre = predicted.mean(-2, keepdim=True), target.mean(-2, keepdim=True)
    x, y = predicted - predicted_centre, target - target_centre
    u, singular, vt = torch.linalg.svd(x.mT @ y)
    sign = torch.ones_like(singular)
    sign[..., -1] = torch.sign(torch.linalg.det(u @ vt))
    rotation = u @ (sign[..., :, None] * vt)
    spread = x.square().sum(dim=(-2, -1)).clamp_min(torch.finfo(x.dtype).tiny)
    scale = (singular * sign).sum(-1) / spread
    return scale[..., None, None] * (x @ rotation) + target_centre


def velocity_errors(predicted: Tensor, target: Tensor) -> Tensor:
    """Distance between predicted and true steps: `... t j 3 -> ... t-1 j`, per frame. MPJVE is its mean."""
    return joint_errors(predicted.diff(dim=-3), target.diff(dim=-3))


def pck(errors: Tensor, threshold: float) -> Tensor:
    """Share of joints whose error is below `threshold` (not at it): `... j -> ...`. MPI-INF-3DHP's is 150 mm."""
    return (errors < threshold).to(errors.dtype).mean(-1)


def auc(errors: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Mean of PCK over some thresholds: `... j -> ...`. MPI-INF-3DHP's are 0, 5, ..., 150 mm."""
    return torch.stack([pck(errors, threshold) for threshold in thresholds]).mean(0)
