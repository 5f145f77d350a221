"""STCFormer (Tang et al., CVPR 2023), sequence to sequence, and the variant that was trained on MPI-INF-3DHP.

What differs from a textbook transformer:
- one attention of two halves: the first half of the channels mixes joints, the other frames, at the same time;
- no positions are learned: each half adds a depth-wise 3x3 convolution of its values over the grid of frames and
  joints, and a learned vector of the joint's body part, which is weighted so low that it does next to nothing;
- softmax is scaled by half the width (3DHP: the whole), not by the width of a head;
- MLPs, embedding and head have no bias, and no norm precedes the head.

Queries, keys and values lie one after the other here; the authors' files interleave them (`mixste.official`).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mixste.models.base import PoseModel
from mixste.models.layers import Axis, Dropout, ExactLinear, mix, rows
from mixste.recipe import ModelSettings

# As released; in space it was 0.001 once (issue 2 of the authors' repository).
PART_WEIGHTS = {"space": 1e-4, "time": 1e-9}
PART_DROP = 0.5


@dataclass(frozen=True)
class Variant:
    """What the two published versions disagree on; `parts` is the body part of each of their 17 joints."""

    parts: tuple[int, ...]
    vectors: int
    padding: int | None
    shared_width: int
    axes_with_parts: tuple[Axis, ...]
    unused_norm: bool

    def table(self, joints: int) -> Tensor:
        """The body part of every joint: as published for 17 joints, else five runs of neighbours of equal length.

        Skeletons list their joints limb by limb, so neighbours mostly are of one part.
        """
        return torch.tensor(self.parts if joints == 17 else [5 * joint // joints for joint in range(joints)])


H36M = Variant((0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 3, 3, 3, 4, 4, 4), 5, None, 2, ("space", "time"), unused_norm=False)
MPI_INF_3DHP = Variant((0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 0, 0, 0), 20, 0, 1, ("space",), unused_norm=True)


class Half(nn.Module):
    """One half of the attention: mixes `b t j 3c` (queries, keys, values) along its axis, to `b t j h d`."""

    def __init__(self, width: int, heads: int, axis: Axis, scale: float) -> None:
        super().__init__()
        self.heads = heads
        self.axis = axis
        self.scale = scale
        self.grid = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, qkv: Tensor) -> Tensor:
        """Attention plus the convolution of the values over frames and joints."""
        mixed = rows(mix(rows(qkv, self.axis), self.heads, self.scale), self.axis)
        around = self.grid(rearrange(qkv[..., -mixed.shape[-1] :], "b t j c -> b c t j"))
        return rearrange(mixed + rearrange(around, "b c t j -> b t j c"), "b t j (h d) -> b t j h d", h=self.heads)


class CrissCross(nn.Module):
    """Attention over joints and over frames side by side: `b t j c -> b t j c`."""

    def __init__(self, settings: ModelSettings, joints: int, variant: Variant) -> None:
        super().__init__()
        width, heads = settings.width, settings.heads
        scale = (width // variant.shared_width) ** -0.5
        self.part_weights = {axis: settings.part_weight * PART_WEIGHTS[axis] for axis in variant.axes_with_parts}
        self.qkv = nn.Linear(width, 3 * width)
        self.space = Half(width // 2, heads, "space", scale)
        self.time = Half(width // 2, heads, "time", scale)
        self.part = nn.Embedding(variant.vectors, width // 2 // heads, padding_idx=variant.padding)
        self.proj = nn.Linear(width, width)
        self.register_buffer("table", variant.table(joints), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mix `b t j c` along both axes."""
        halves = []
        for half, qkv in zip((self.space, self.time), self.qkv(x).chunk(2, dim=-1), strict=True):
            mixed = half(qkv)
            if half.axis in self.part_weights:
                mixed = mixed + self.part_weights[half.axis] * self._parts()
            halves.append(mixed)
        return self.proj(torch.cat(halves, dim=-1).flatten(-2))

    def _parts(self) -> Tensor:
        """The vectors of the joints' parts, `j 1 d`; in training dropped at random, for the whole batch at once."""
        vectors = self.part(self.table)[:, None]
        if not self.training:
            return vectors
        return vectors * vectors.new_empty(()).bernoulli_(1 - PART_DROP) / (1 - PART_DROP)


class STCBlock(nn.Module):
    """x + attention(norm x), then x + mlp(norm x)."""

    def __init__(self, settings: ModelSettings, joints: int, variant: Variant) -> None:
        super().__init__()
        width, hidden = settings.width, int(settings.width * settings.mlp_ratio)
        self.norm1 = nn.LayerNorm(width)
        self.attn = CrissCross(settings, joints, variant)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, width, bias=False)
        self.dropout = Dropout(settings.dropout)
        if variant.unused_norm:
            self.unused_norm = nn.LayerNorm(width).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """`b t j c -> b t j c`."""
        x = x + self.attn(self.norm1(x))
        hidden = self.dropout(functional.gelu(self.fc1(self.norm2(x))))
        return x + self.dropout(self.fc2(hidden))


class STCFormer(PoseModel):
    """2D keypoints `b t j c` (screen units, c = 2 or 3) to 3D joints `b t j 3` (metres, camera axes)."""

    head_prefixes = ("head.",)
    variant: ClassVar[Variant] = H36M

    def __init__(self, settings: ModelSettings, joints: int) -> None:
        super().__init__(settings, joints)
        self.embed = ExactLinear(settings.channels, settings.width, bias=False)
        self.blocks = nn.ModuleList(STCBlock(settings, joints, self.variant) for _ in range(settings.depth))
        self.head = ExactLinear(settings.width, 3, bias=False)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Lift `b t j c` to `b t j 3`, for any t up to the model's number of frames."""
        return self.head(self.features(keypoints))

    def features(self, keypoints: Tensor) -> Tensor:
        """Encode `b t j c` as `b t j width`."""
        self.check(keypoints)
        x = functional.gelu(self.embed(keypoints))
        for block in self.blocks:
            x = block(x)
        return x

    def linear_macs(self, frames: int) -> int:
        """Multiply-adds of the linear layers and the convolutions: what the literature calls this network's FLOPs."""
        width, hidden = self.settings.width, int(self.settings.width * self.settings.mlp_ratio)
        block = 4 * width * width + 2 * width * hidden + 9 * width
        return frames * self.joints * (self.settings.channels * width + self.settings.depth * block + 3 * width)

    def all_macs(self, frames: int) -> int:
        """Multiply-adds of every matrix product, the two of attention included."""
        attention = self.settings.width * frames * self.joints * (self.joints + frames) * self.settings.depth
        return self.linear_macs(frames) + attention


class STCFormer3DHP(STCFormer):
    """The version for MPI-INF-3DHP: another scale and part table, 20 part vectors, parts in the spatial half only.

    Each block has a norm that is never applied: it counts as published, and is not trained.
    """

    variant = MPI_INF_3DHP
