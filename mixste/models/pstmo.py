"""P-STMO (Shan et al., ECCV 2022), stage II: many frames of keypoints to the pose of the centre frame.

What differs from a textbook transformer:
- a token is a whole pose: batch-normed MLPs embed its keypoints, so joints are never kept apart;
- norms divide by the unbiased standard deviation plus epsilon;
- a second transformer shortens the sequence to one token: its feed-forward convolutions have strides, residuals keep
  every so manieth frame, and before each of its first three layers positions of their own are added;
- positions start normally distributed, and both transformers end in a norm that is never applied. Those count as
  published, and are not trained.

In training the head of the whole sequence is charged beside that of the centre (`outputs`).
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mixste.models.base import PoseModel
from mixste.models.layers import Attention, Dropout, ExactLinear
from mixste.recipe import ModelSettings

EPSILON = 1e-6
SLOPE = 0.2


def strides(frames: int) -> tuple[int, ...]:
    """By how much each layer shortens: as published for 9, 27, 81, 243 and 351 frames.

    Elsewhere by the rule that those of 243 and fewer follow: 3 until one frame is left, in three layers or more, of
    which the first have 1.
    """
    if frames == 351:
        return 3, 9, 13
    layers = 0
    while 3**layers < frames:
        layers += 1
    return (1,) * (3 - layers) + (3,) * layers


class Norm(nn.Module):
    """Normalise tokens by mean and unbiased standard deviation; epsilon is added to the deviation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """`... c -> ... c`."""
        centred = x - x.mean(dim=-1, keepdim=True)
        return self.weight * centred / (x.std(dim=-1, keepdim=True) + EPSILON) + self.bias


def unused_norm(width: int) -> Norm:
    """A norm that official files hold and nothing applies."""
    return Norm(width).requires_grad_(False)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over all tokens of `b t c`."""

    def forward(self, x: Tensor) -> Tensor:
        """`b t c -> b t c`."""
        return super().forward(x.flatten(0, 1)).view_as(x)


class Dense(nn.Module):
    """Linear, batch norm, leaky ReLU, dropout."""

    def __init__(self, linear: nn.Linear, dropout: float) -> None:
        super().__init__()
        self.linear = linear
        self.norm = BatchNorm(linear.out_features)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`b t c -> b t d`."""
        return self.dropout(functional.leaky_relu(self.norm(self.linear(x)), SLOPE))


class PoseEmbedding(nn.Module):
    """Keypoints of one frame to a token, frame by frame (the paper's spatial encoder)."""

    def __init__(self, settings: ModelSettings, joints: int) -> None:
        super().__init__()
        hidden = 2 * settings.width
        self.first = Dense(ExactLinear(joints * settings.channels, hidden), settings.dropout)
        self.inner = nn.Sequential(*(Dense(nn.Linear(hidden, hidden), settings.dropout) for _ in range(2)))
        self.last = nn.Linear(hidden, settings.width)

    def forward(self, keypoints: Tensor) -> Tensor:
        """`b t j c -> b t width`."""
        x = self.first(rearrange(keypoints, "b t j c -> b t (j c)"))
        return self.last(x + self.inner(x))


class FeedForward(nn.Module):
    """Linear, ReLU, dropout, linear; with a stride the second is a convolution over three frames."""

    def __init__(self, width: int, hidden: int, dropout: float, stride: int | None) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.dropout = Dropout(dropout)
        self.last = nn.Linear(hidden, width) if stride is None else Strided(hidden, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """`b t c -> b ceil(t / stride) c`."""
        return self.last(self.dropout(functional.relu(self.first(x))))


class Strided(nn.Conv1d):
    """A convolution over three frames of `b t c` with a stride."""

    def __init__(self, given: int, width: int, stride: int) -> None:
        super().__init__(given, width, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """`b t c -> b ceil(t / stride) d`."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class PoseBlock(nn.Module):
    """x + attention(norm x), then x + feed-forward(norm x); with a stride, x of every so manieth frame."""

    def __init__(self, width: int, settings: ModelSettings, stride: int | None = None) -> None:
        super().__init__()
        hidden, dropout = int(width * settings.mlp_ratio), settings.dropout
        self.stride = stride or 1
        self.norm1 = Norm(width)
        self.attn = Attention(width, settings.heads, "time", dropout)
        self.norm2 = Norm(width)
        self.feed = FeedForward(width, hidden, dropout, stride)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`b t c -> b ceil(t / stride) c`."""
        mixed = self.attn(rearrange(self.norm1(x), "b t c -> b t 1 c"))
        x = x + self.dropout(rearrange(mixed, "b t 1 c -> b t c"))
        return x[:, :: self.stride] + self.dropout(self.feed(self.norm2(x)))


class PoseEncoder(nn.Module):
    """What both stages share: embedding, positions of frames, and transformer."""

    def __init__(self, settings: ModelSettings, joints: int) -> None:
        super().__init__()
        self.embed = PoseEmbedding(settings, joints)
        self.position = nn.Parameter(torch.randn(1, settings.frames, settings.width))
        self.blocks = nn.Sequential(*(PoseBlock(settings.width, settings) for _ in range(settings.depth)))
        self.unused_norm = unused_norm(settings.width)

    def forward(self, keypoints: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Encode `b t j c` as `b t width`; of the frames that `hidden` (t, bool) leaves, where it is given."""
        x = self.embed(keypoints) + self.position
        return self.blocks(x if hidden is None else x[:, ~hidden])


class Reducer(nn.Module):
    """The strided transformer that makes one token of a sequence (the paper's many-to-one aggregator)."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.positions = nn.ParameterList(torch.randn(1, settings.frames, settings.width) for _ in range(3))
        self.blocks = nn.ModuleList(PoseBlock(settings.width, settings, stride) for stride in strides(settings.frames))
        self.unused_norm = unused_norm(settings.width)

    def forward(self, x: Tensor) -> Tensor:
        """`b t c -> b 1 c`."""
        for depth, block in enumerate(self.blocks):
            if depth < len(self.positions):
                x = x + self.positions[depth][:, : x.shape[1]]
            x = block(x)
        return x


class PoseHead(nn.Module):
    """Batch norm and one linear layer from a token to so many values for each joint."""

    def __init__(self, width: int, joints: int, values: int) -> None:
        super().__init__()
        self.joints = joints
        self.norm = BatchNorm(width)
        self.linear = ExactLinear(width, joints * values)

    def forward(self, x: Tensor) -> Tensor:
        """`b t c -> b t j values`."""
        return rearrange(self.linear(self.norm(x)), "b t (j c) -> b t j c", j=self.joints)


class PSTMO(PoseModel):
    """2D keypoints `b t j c` (screen units, c = 2 or 3) to the centre frame's joints `b 1 j 3` (metres, camera axes).

    A window has exactly the model's number of frames.
    """

    head_prefixes = ("reduce.", "sequence_head.", "head.")
    output_layers = ("sequence_head.linear.", "head.linear.")

    def __init__(self, settings: ModelSettings, joints: int) -> None:
        super().__init__(settings, joints)
        self.encoder = PoseEncoder(settings, joints)
        self.sequence_head = PoseHead(settings.width, joints, 3)
        self.reduce = Reducer(settings)
        self.head = PoseHead(settings.width, joints, 3)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Lift the centre frame of `b t j c`: `b 1 j 3`."""
        self.check(keypoints, exactly=True)
        return self.head(self.reduce(self.encoder(keypoints)))

    def outputs(self, keypoints: Tensor) -> tuple[Tensor, ...]:
        """The whole sequence `b t j 3` and the centre frame `b 1 j 3`."""
        self.check(keypoints, exactly=True)
        x = self.encoder(keypoints)
        return self.sequence_head(x), self.head(self.reduce(x))

    def linear_macs(self, frames: int) -> int:
        """Multiply-adds of the linear layers and convolutions, both heads included, as published."""
        width, hidden = self.settings.width, int(self.settings.width * self.settings.mlp_ratio)
        embed = 2 * width * (self.joints * self.settings.channels + 4 * width + width)
        block, head = 4 * width * width + 2 * width * hidden, 3 * self.joints * width
        total = frames * (embed + self.settings.depth * block + head) + head
        for given, kept in self._lengths(frames):
            total += given * (4 * width * width + width * hidden) + kept * 3 * hidden * width
        return total

    def all_macs(self, frames: int) -> int:
        """Multiply-adds of every matrix product, the two of attention included."""
        pairs = self.settings.depth * frames**2 + sum(given**2 for given, _ in self._lengths(frames))
        return self.linear_macs(frames) + 2 * self.settings.width * pairs

    def _lengths(self, frames: int) -> list[tuple[int, int]]:
        """The frames that each layer of the second transformer is given and leaves."""
        lengths = []
        for stride in strides(self.settings.frames):
            lengths.append((frames, -(-frames // stride)))
            frames = lengths[-1][1]
        return lengths
