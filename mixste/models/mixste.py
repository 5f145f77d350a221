"""MixSTE (Zhang et al., CVPR 2022, class MixSTE2): alternating spatial and temporal blocks, sequence to sequence.

What differs from a textbook vision transformer:
- one spatial and one temporal LayerNorm are shared by all depths, applied after every block of their kind;
- positions (joints, then frames) are added once, before the first block of their kind, and start at zero;
- stochastic depth grows linearly with depth and is the same for the two blocks of a depth;
- block norms have eps 1e-6, the head's norm 1e-5; everything else is PyTorch's default initialisation.
"""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from mixste.models.base import PoseModel
from mixste.models.layers import Block, ExactLinear, settled
from mixste.recipe import ModelSettings


class MixSTE(PoseModel):
    """2D keypoints `b t j c` (screen units, c = 2 or 3) to 3D joints `b t j 3` (metres, camera axes)."""

    head_prefixes = ("head_norm.", "head.")

    def __init__(self, settings: ModelSettings, joints: int) -> None:
        super().__init__(settings, joints)
        width = settings.width
        rates = np.linspace(0, settings.drop_path, settings.depth).tolist()

        def blocks(axis: str) -> nn.ModuleList:
            return nn.ModuleList(
                Block(width, settings.heads, axis, mlp_ratio=settings.mlp_ratio, drop_path=rate)  # type: ignore[arg-type]
                for rate in rates
            )

        self.embed = ExactLinear(settings.channels, width)
        self.joint_position = nn.Parameter(torch.zeros(1, joints, width))
        self.frame_position = nn.Parameter(torch.zeros(1, settings.frames, width))
        self.spatial_blocks = blocks("space")
        self.temporal_blocks = blocks("time")
        self.spatial_norm = nn.LayerNorm(width, eps=1e-6)
        self.temporal_norm = nn.LayerNorm(width, eps=1e-6)
        self.head_norm = nn.LayerNorm(width)
        self.head = ExactLinear(width, 3)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Lift `b t j c` to `b t j 3`, for any t up to the model's number of frames."""
        return self.head(self.head_norm(self.features(keypoints)))

    def features(self, keypoints: Tensor) -> Tensor:
        """Encode `b t j c` as `b t j width`."""
        self.check(keypoints)
        x = self.embed(keypoints)
        x = x + self.joint_position
        for depth, (spatial, temporal) in enumerate(zip(self.spatial_blocks, self.temporal_blocks, strict=True)):
            x = spatial(x, self.spatial_norm)
            if depth == 0:
                positions = self.frame_position[:, : keypoints.shape[1]]
                x = settled(x) + rearrange(positions, "one t c -> one t 1 c")
            x = temporal(x, self.temporal_norm)
        return settled(x)

    def linear_macs(self, frames: int) -> int:
        """Multiply-adds of the linear layers for one sequence: what the literature calls this network's FLOPs."""
        width, hidden = self.settings.width, int(self.settings.width * self.settings.mlp_ratio)
        block = 4 * width * width + 2 * width * hidden
        token = self.settings.channels * width + 2 * self.settings.depth * block + 3 * width
        return frames * self.joints * token

    def all_macs(self, frames: int) -> int:
        """Multiply-adds of every matrix product, the two of attention included."""
        tokens = frames * self.joints
        attention = 2 * self.settings.width * tokens * (self.joints + frames) * self.settings.depth
        return self.linear_macs(frames) + attention
