"""What others are measured against: MixSTE written down plainly, in fp32, with explicit attention, autograd and AdamW.

Parameters have the names of `mixste.models.MixSTE`, whose weights it takes; stochastic depth is left out.
"""

from collections.abc import Iterator

import torch
from einops import rearrange
from torch import Tensor, nn

from mixste.models import PoseModel
from mixste.training.batches import Batches
from mixste.training.objectives import Objective


class PlainAttention(nn.Module):
    """`rows tokens c -> rows tokens c`, with every matrix written out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attention among the tokens of a row."""
        query, key, value = rearrange(self.qkv(x), "r n (three h d) -> three r h n d", three=3, h=self.heads)
        weights = (query @ key.transpose(-2, -1) * self.scale).softmax(dim=-1)
        return self.proj(rearrange(weights @ value, "r h n d -> r n (h d)"))


class PlainBlock(nn.Module):
    """Pre-norm transformer block on `rows tokens c`."""

    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = PlainAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        hidden = int(ratio * width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, x: Tensor) -> Tensor:
        """Return x + attention, and to that its MLP."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))


class PlainMixSTE(nn.Module):
    """MixSTE with tokens rearranged to rows of joints and rows of frames by turns, and the given model's weights."""

    def __init__(self, model: PoseModel) -> None:
        super().__init__()
        self.settings = settings = model.settings
        width = settings.width

        def blocks() -> nn.ModuleList:
            return nn.ModuleList(PlainBlock(width, settings.heads, settings.mlp_ratio) for _ in range(settings.depth))

        self.embed = nn.Linear(settings.channels, width)
        self.joint_position = nn.Parameter(torch.zeros(1, model.joints, width))
        self.frame_position = nn.Parameter(torch.zeros(1, settings.frames, width))
        self.spatial_blocks, self.temporal_blocks = blocks(), blocks()
        self.spatial_norm, self.temporal_norm = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.head_norm, self.head = nn.LayerNorm(width), nn.Linear(width, 3)
        self.load_state_dict(model.state_dict())

    def forward(self, keypoints: Tensor) -> Tensor:
        """Lift `b t j c` to `b t j 3`."""
        t, j = keypoints.shape[1:3]
        x = rearrange(self.embed(keypoints), "b t j c -> (b t) j c") + self.joint_position
        for depth, (spatial, temporal) in enumerate(zip(self.spatial_blocks, self.temporal_blocks, strict=True)):
            x = rearrange(self.spatial_norm(spatial(x)), "(b t) j c -> (b j) t c", t=t)
            if depth == 0:
                x = x + self.frame_position[:, :t]
            x = rearrange(self.temporal_norm(temporal(x)), "(b j) t c -> (b t) j c", j=j)
        return self.head(self.head_norm(rearrange(x, "(b t) j c -> b t j c", t=t)))

    def outputs(self, keypoints: Tensor) -> tuple[Tensor, ...]:
        """What training charges."""
        return (self(keypoints),)


def train(model: PlainMixSTE, objective: Objective, batches: Batches, rate: float) -> Iterator[None]:
    """Take a step with torch's AdamW each time it is asked for the next."""
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    for step in range(1 << 62):
        share = batches.drawn(step)
        optimiser.zero_grad()
        parts = objective.loss(model, share.inputs, share.target, batches.view.generator(step, "loss"))
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        yield
