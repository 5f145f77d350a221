"""P-STMO (Shan et al., ECCV 2022), stage I: masked pose modelling.

Joints are hidden at the input, frames behind the embedding: the encoder sees the visible frames only, and a small
decoder of half the width sees every frame. Masks are shared by the batch.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from mixste.models.pstmo import Norm, PoseBlock, PoseEncoder, PoseHead, unused_norm
from mixste.recipe import ModelSettings


class Decoder(nn.Module):
    """Tokens of visible frames to tokens of all frames, at half the width and one block fewer than the encoder."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width = settings.width // 2
        self.norm = Norm(settings.width)
        self.embed = nn.Linear(settings.width, width, bias=False)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, settings.frames, width))
        self.blocks = nn.Sequential(*(PoseBlock(width, settings) for _ in range(settings.depth - 1)))
        self.unused_norm = unused_norm(width)

    def forward(self, visible: Tensor, hidden: Tensor) -> Tensor:
        """`b v c` and the frames that are hidden (t, bool) to `b t c/2`, in the frames' own order."""
        tokens = self.token.expand(len(visible), len(hidden), -1).clone()
        embedded = self.embed(self.norm(visible))
        tokens = tokens.to(embedded.dtype)
        tokens[:, ~hidden] = embedded
        return self.blocks(tokens + self.position)


class MaskedPSTMO(nn.Module):
    """Recovers keypoints `b t j 2` (screen units) whose joints and frames are hidden; its `encoder` is the lifter's."""

    left_behind: ClassVar[tuple[str, ...]] = ("joint_token", "decoder.", "keypoint_head.")
    output_layers: ClassVar[tuple[str, ...]] = ("keypoint_head.linear.",)

    def __init__(self, settings: ModelSettings, joints: int) -> None:
        super().__init__()
        self.settings = settings
        self.joints = joints
        self.joint_token = nn.Parameter(torch.randn(1, 1, settings.channels))
        self.encoder = PoseEncoder(settings, joints)
        self.decoder = Decoder(settings)
        self.keypoint_head = PoseHead(settings.width // 2, joints, 2)

    def reconstruct(self, keypoints: Tensor, joints: Tensor, frames: Tensor) -> Tensor:
        """Reconstruct `b t j c` as `b t j 2`; `joints` (t j) and `frames` (t,) are True where they are hidden."""
        shown = torch.where(joints[..., None], self.joint_token, keypoints)
        return self.keypoint_head(self.decoder(self.encoder(shown, frames), frames))
