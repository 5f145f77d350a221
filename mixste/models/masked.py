"""Masked pose modelling for any lifter that keeps joints and frames apart: it recovers the keypoints that are hidden.

P-STMO has a first stage of its own (`mixste.models.pstmo_masked`); this is that idea for the others.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mixste.models.base import PoseModel
from mixste.models.layers import ExactLinear

LIFTER = "lifter."


class MaskedPose(nn.Module):
    """A lifter without its 3D head, which recovers keypoints `b t j 2` (screen units) behind learned tokens.

    In its state the lifter's parameters have the lifter's own names, so that one takes over the other's as they are.
    """

    left_behind: ClassVar[tuple[str, ...]] = ("joint_token", "frame_token", "keypoint_head.")
    output_layers: ClassVar[tuple[str, ...]] = ("keypoint_head.",)

    def __init__(self, lifter: PoseModel) -> None:
        super().__init__()
        self.settings, self.joints = lifter.settings, lifter.joints
        for prefix in lifter.head_prefixes:
            delattr(lifter, prefix.removesuffix("."))
        self.lifter = lifter
        self.joint_token = nn.Parameter(torch.randn(self.settings.channels))
        self.frame_token = nn.Parameter(torch.randn(self.settings.channels))
        self.keypoint_head = ExactLinear(self.settings.width, 2)
        self.register_state_dict_post_hook(_lifter_names)
        self.register_load_state_dict_pre_hook(_module_names)

    def reconstruct(self, keypoints: Tensor, joints: Tensor, frames: Tensor) -> Tensor:
        """Reconstruct `b t j c` as `b t j 2`; `joints` (t j) and `frames` (t,) are True where they are hidden."""
        shown = torch.where(joints[..., None], self.joint_token, keypoints)
        shown = torch.where(frames[:, None, None], self.frame_token, shown)
        return self.keypoint_head(self.lifter.features(shown))


def _lifter_names(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for name in [name for name in state if name.startswith(prefix + LIFTER)]:
        state[prefix + name.removeprefix(prefix + LIFTER)] = state.pop(name)


def _module_names(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    own = tuple(prefix + name for name in MaskedPose.left_behind)
    for name in [name for name in state if name.startswith(prefix) and not name.startswith(own)]:
        state[prefix + LIFTER + name.removeprefix(prefix)] = state.pop(name)
