"""The transformer block that every lifter here is made of, in the layout `b t j c`.

Norms and MLPs work on tokens and do not see the layout; only attention does. So the tensor stays `b t j c` from end to
end, and an attention layer takes the axis it mixes: joints within a frame (`space`) or frames of a joint (`time`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from mixste.models.kernels import fused, native
from mixste.models.kernels.fused import Pending

if fused.has_triton():
    from mixste.models.kernels import triton_attention
else:
    triton_attention = None  # type: ignore[assignment]

Axis = Literal["space", "time"]
FEW, SHORT = 32, 64  # tokens
NARROW, WIDEST = 32, 128  # heads; the widest for few tokens
SPLIT = "b r n (three h d) -> three (b r) h n d"
JOIN = "(b r) h n d -> b r n (h d)"


def rows(x: Tensor, axis: Axis) -> Tensor:
    """`b t j c` so that the second last axis is the one that is mixed, `b t j c` or `b j t c`; and back again."""
    return x if axis == "space" else x.transpose(1, 2)


def mix(qkv: Tensor, heads: int, scale: float, dropout: float = 0.0) -> Tensor:
    """Softmax attention among the n tokens of every row: `b r n (3 h d) -> b r n (h d)`.

    `dropout` is the share of the softmax's weights that is dropped.
    """
    if triton_attention and qkv.is_cuda and not dropout and _few(qkv, heads):
        return triton_attention.mix(qkv.flatten(0, 1), heads, scale).unflatten(0, qkv.shape[:2])
    if not dropout and _native(qkv, qkv.shape[-2], qkv.shape[-1] // 3 // heads, qkv.dtype):
        return native.mix(qkv, heads, scale)
    if torch.compiler.is_exporting():
        qkv = qkv.contiguous()  # torch 2.11's exporter fixes the length when it splits a view
    query, key, value = rearrange(qkv, SPLIT, three=3, h=heads)
    return rearrange(attend(query, key, value, scale, dropout), JOIN, b=qkv.shape[0])


def _few(qkv: Tensor, heads: int) -> bool:
    tokens, triple = qkv.shape[-2:]
    return tokens <= FEW and triple <= 3 * heads * WIDEST and qkv.dtype != torch.float64


def _native(x: Tensor, tokens: int, width: int, dtype: torch.dtype) -> bool:
    """Whether attention among so many tokens, in heads of a width and a type, is computed in C.

    C has no products of 16 bits, by which many tokens of wide heads are trained faster.
    """
    long = dtype == torch.bfloat16 and tokens > SHORT and width > NARROW and torch.is_grad_enabled()
    return dtype in (torch.float32, torch.bfloat16) and not long and native.takes(x)


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float, dropout: float = 0.0) -> Tensor:
    """Softmax attention over the third axis of `r h n d`; `dropout` is the share of its weights that is dropped.

    It is for what our kernels do not take. torch's wins on a GPU and on long fp32 sequences, elsewhere explicit
    products do: over few tokens in fp32 whatever the precision, because a CPU's bf16 softmax costs more than its
    products save. What is smaller is scaled, the products of few tokens or the queries of many.
    """
    tokens = query.shape[-2]
    library = query.device.type != "cpu" or torch.compiler.is_exporting()  # exported: one way for all lengths
    if library or (tokens > SHORT and query.dtype == torch.float32):
        return functional.scaled_dot_product_attention(query, key, value, scale=scale, dropout_p=dropout)
    with torch.autocast("cpu", enabled=False):
        if tokens <= SHORT:
            query, key, value = query.float(), key.float(), value.float()
            scores = query @ key.mT * scale
        else:
            scores = (query * scale) @ key.mT
        return dropped(scores.softmax(dim=-1), dropout) @ value


def dropped(x: Tensor, rate: float) -> Tensor:
    """Dropout of numbers at a rate, which on a CPU is a multiple of 2^-16: drawn so it takes a quarter of the time."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or not 0 < rate < 1:
        return functional.dropout(x, rate, rate > 0)
    drop = min(round(rate * 2**16), 2**16 - 1)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    kept = (bits[: x.numel()] >= drop - 2**15).view(x.shape)
    return x * kept.to(x.dtype).mul_(1 / (1 - drop / 2**16))


class Dropout(nn.Dropout):
    """`nn.Dropout`, faster on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """`... -> ...`."""
        return dropped(x, self.p if self.training else 0.0)


class ExactLinear(nn.Linear):
    """A linear layer that keeps float32 under autocast, and where others are packed or stored in fewer bits.

    It is for keypoints and for what a network gives: in 16 bits a keypoint is a pixel off, a joint two millimetres.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`... c -> ... d`."""
        if not torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def inexact_linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """The linear layers that may be packed or stored in fewer bits, by their names."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not isinstance(module, ExactLinear):
            yield name, module


def _computed(x: Tensor) -> torch.dtype:
    """What a linear layer makes of a tensor."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class Packed(nn.Module):
    """Linear layers in a layout of their own, for inference on a CPU; they add their biases themselves."""


def _product(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """What a linear layer gives, and the bias that is still to be added."""
    return (functional.linear(x, layer.weight), layer.bias) if isinstance(layer, nn.Linear) else (layer(x), None)


class Attention(nn.Module):
    """Multi-head self-attention over joints or over frames: `b t j c -> b t j c`.

    `dropout` is the share of attention weights that is dropped in training.
    """

    def __init__(self, width: int, heads: int, axis: Axis, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.axis = axis
        self.dropout = dropout
        self.scale = (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix `b t j c` along the layer's axis."""
        dropout = self.dropout if self.training else 0.0
        if not dropout and self._native(x):
            return self.proj(rows(mix(rows(self.qkv(x), self.axis), self.heads, self.scale), self.axis))
        return rows(self.proj(mix(self.qkv(rows(x, self.axis)), self.heads, self.scale, dropout)), self.axis)

    def mixed_in_kernels(self, x: Tensor) -> Tensor:
        """`b t j c`, or `b r n c` on a GPU, mixed before the projection, biases and their gradients within kernels."""
        if not fused.by_triton(x):
            if not self._native(x):
                return rows(mix(self.qkv(rows(x, self.axis)), self.heads, self.scale), self.axis)
            qkv, bias = _product(self.qkv, x)
            return rows(native.mix(rows(qkv, self.axis), self.heads, self.scale, bias), self.axis)
        if x.shape[-2] <= FEW:
            return mix(self.qkv(x), self.heads, self.scale)
        weight, bias = self.qkv.weight, self.qkv.bias
        qkv = functional.linear(x, weight, bias.detach()).flatten(0, 1)
        return rearrange(attend(*fused.split(qkv, bias, self.heads), self.scale), JOIN, b=len(x))

    def _native(self, x: Tensor) -> bool:
        tokens = x.shape[1 if self.axis == "time" else 2]
        return _native(x, tokens, x.shape[-1] // self.heads, _computed(x))


class Mlp(nn.Module):
    """Linear, exact GELU, linear, on the last axis."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, int(width * ratio))
        self.fc2 = nn.Linear(int(width * ratio), width)

    def forward(self, x: Tensor) -> Tensor:
        """`... c -> ... c`."""
        return self.fc2(functional.gelu(self.fc1(x)))

    def in_kernels(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same in a kernel, and the bias that is still to be added."""
        hidden = fused.gelu(functional.linear(x, self.fc1.weight), self.fc1.bias)
        return functional.linear(hidden, self.fc2.weight), self.fc2.bias


class DropPath(nn.Module):
    """Stochastic depth: in training, drop a residual branch for whole rows of tokens.

    A row is what one attention call sees: a frame (`b t`) in space, a joint's track (`b j`) in time. What is kept is
    drawn in each call, but within `paths_drawn`.
    """

    def __init__(self, rate: float, axis: Axis) -> None:
        super().__init__()
        self.rate = rate
        self.axis = axis
        self.kept: Tensor | None = None

    def draw(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """For `b t j c` what the rows are multiplied by, 0 or so much that the mean stays: `b t 1 1` or `b 1 j 1`."""
        b, t, j, _ = like.shape
        rows = (b, t, 1, 1) if self.axis == "space" else (b, 1, j, 1)
        keep = 1.0 - self.rate
        return like.new_empty(rows).bernoulli_(keep, generator=generator).div_(keep)

    def share(self, x: Tensor) -> Tensor | None:
        """What `b t j c` is multiplied by; None in evaluation or at rate 0."""
        if self.kept is not None:  # asked first: compiled blocks shall not differ by their rates
            return self.kept
        return self.draw(x) if self.training and self.rate else None

    def forward(self, x: Tensor) -> Tensor:
        """`b t j c -> b t j c`; the identity in evaluation or at rate 0."""
        share = self.share(x)
        return x if share is None else x * share.to(x.dtype)


@contextmanager
def paths_drawn(
    model: nn.Module, inputs: Tensor, places: Tensor, windows: int, generator: torch.Generator
) -> Iterator[None]:
    """Let a model's DropPaths keep what is drawn for a whole batch of `windows`, of which `inputs` are at `places`."""
    paths = [module for module in model.modules() if isinstance(module, DropPath) and module.rate]
    whole = inputs[:1].expand(windows, *inputs.shape[1:])
    for path in paths:
        path.kept = path.draw(whole, generator)[places]
    try:
        yield
    finally:
        for path in paths:
            path.kept = None


class Block(nn.Module):
    """Pre-norm transformer block: x + attention(norm x), then x + mlp(norm x), then a norm that blocks share.

    Under autocast x stays float32: in 16 bits training ends with a velocity error a tenth above that of fp32.
    """

    def __init__(self, width: int, heads: int, axis: Axis, *, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, axis)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, mlp_ratio)
        self.attn_path, self.mlp_path = DropPath(drop_path, axis), DropPath(drop_path, axis)  # each draws by itself

    def forward(self, x: Tensor | Pending, last_norm: nn.LayerNorm) -> Tensor | Pending:
        """`b t j c -> b t j c`; in kernels the last norm is left to what follows."""
        if self.in_kernels(x, last_norm):
            return self._fused(x, last_norm)
        x = settled(x)
        x = x + self.attn_path(self.attn(self.norm1(x)))
        x = x + self.mlp_path(self.mlp(self.norm2(x)))
        return last_norm(x)

    def in_kernels(self, x: Tensor | Pending, last_norm: nn.LayerNorm) -> bool:
        """Whether what lies between matrix products is computed in `mixste.models.kernels.fused`.

        Not in a block whose layers were exchanged or hooked: kernels take their weights and call none but packed ones.
        """
        hooked = torch.nn.modules.module._has_any_global_hook()
        return fused.fits(x) and not hooked and all(map(_as_made, (*self.modules(), last_norm)))

    def _fused(self, x: Tensor | Pending, last_norm: nn.LayerNorm) -> Pending:
        """The same in kernels that add, norm and turn at once, to which the linear layers leave their biases."""
        by_joint, attn, mlp = self.attn.axis == "time", self.attn, self.mlp
        turned = by_joint and fused.by_triton(self.norm1.weight)
        x, normed = fused.enter(x, self.norm1, turned=turned)
        branch, bias = _product(attn.proj, attn.mixed_in_kernels(normed))
        share = self.attn_path.share(x)
        x, normed = fused.add_norm(x, branch, bias, share, self.norm2, by_joint=by_joint, turned=turned)
        branch, bias = mlp.in_kernels(normed) if isinstance(mlp, Mlp) else (mlp(normed), None)
        return Pending(x, branch, bias, self.mlp_path.share(x), last_norm, by_joint)


def _as_made(module: nn.Module) -> bool:
    kind = type(module)
    if kind in (nn.Linear, nn.LayerNorm):
        known = module.bias is not None and module.weight.dtype == torch.float32
    else:
        known = kind in (Block, Attention, Mlp, DropPath) or isinstance(module, Packed)
    hooked = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return known and not hooked


def settled(x: Tensor | Pending) -> Tensor:
    """What a block gives, `b t j c`, where more than another block is done with it."""
    return x if isinstance(x, Tensor) else fused.settled(x)
