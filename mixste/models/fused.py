"""What lies between the matrix products of a block, on a GPU in 16 bits: one Triton kernel a direction for each piece.

Norms, residual sums and GELU do little but move activations, so a kernel reads each once and writes each once: a norm's
backward pass takes the residual's gradient along, a linear layer's bias belongs to what follows it, and sums over
tokens, gradients of biases and norms, are made on the way. The sum and norm that end a block are left to the block that
follows (`Pending`), whose first norm is made in the same pass. Attention among frames wants the tokens of a joint side
by side (`turned`, `b j t c`), and kernels write and read them there. The residual stays float32.
"""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixste.models import kernels

WIDEST = 4096


class Tile(NamedTuple):
    """How many numbers a program holds at once, its warps, and how many programs that add up share a multiprocessor.

    A token of more numbers takes as many more warps.
    """

    numbers: int
    warps: int
    spread: int = 1


# Measured on an H200 with tokens of 512 numbers.
NORM, NORM_BACKWARD = Tile(512, 1), Tile(512, 1, 16)
GELU, GELU_BACKWARD, PACK = Tile(2048, 2), Tile(1024, 2, 16), Tile(1024, 1, 16)


class How(NamedTuple):
    """What a norm of `b t j c` does beside, and where a branch lies and the output goes."""

    eps: float
    next_eps: float = 0.0
    by_joint: bool = False  # what is kept of a branch is of `b j`, not of `b t`
    turned_branch: bool = False
    turned: bool = False
    sum: bool = False  # the sum is given back, too
    short: bool = True  # the output has 16 bits

    def sizes(
        self, x: Tensor, branch: Tensor | None, kept: Tensor | None, *, twice: bool, tile: Tile
    ) -> dict[str, Any]:
        """A kernel's constants."""
        return _sizes(x, tile) | {
            "frames": x.shape[1],
            "joints": x.shape[2],
            "eps": self.eps,
            "next_eps": self.next_eps,
            "ADDS": branch is not None,
            "DROPS": kept is not None,
            "BY_JOINT": self.by_joint,
            "SUM": self.sum,
            "TWICE": twice,
            "TURNED_BRANCH": self.turned_branch,
            "TURNED": self.turned,
        }


class _Norm(Function):
    """The norm of `x + kept (branch + bias)` or of x, and beside it the sum, or x; or that norm, and the next of it.

    x passes through, so that all its gradients meet here.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, branch: Tensor | None, bias: Tensor | None, kept: Tensor | None, weight: Tensor,
        shift: Tensor, next_weight: Tensor | None, next_shift: Tensor | None, how: How,
    ) -> tuple[Tensor | None, Tensor]:  # fmt: skip
        twice = next_weight is not None
        dtype = torch.get_autocast_dtype(x.device.type) if how.short else x.dtype
        out = x.new_empty(_shape(x, turned=how.turned), dtype=dtype)
        total = torch.empty_like(x) if how.sum or twice else None
        rows, sizes = _tokens(x), how.sizes(x, branch, kept, twice=twice, tile=NORM)
        grid = (triton.cdiv(rows, sizes["ROWS"]),)
        kernels.norm[grid](x, branch, bias, kept, weight, shift, next_weight, next_shift, total, out, rows, **sizes)
        ctx.how, ctx.branch_dtype = how, None if branch is None else branch.dtype
        summed = (total, None) if how.sum else (x, branch)
        ctx.save_for_backward(*summed, bias, kept, weight, shift, next_weight)
        return (x.view_as(x) if branch is None else total), out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_total: Tensor | None, by_out: Tensor) -> tuple[Tensor | None, ...]:
        x, branch, bias, kept, weight, shift, next_weight = ctx.saved_tensors
        how, adds, twice, by_x = ctx.how, ctx.branch_dtype is not None, next_weight is not None, torch.empty_like(x)
        shape = _shape(x, turned=how.turned_branch)
        by_branch = x.new_empty(shape, dtype=ctx.branch_dtype) if adds else None
        rows, sizes = _tokens(x), how.sizes(x, by_branch, kept, twice=twice, tile=NORM_BACKWARD)
        programs = _programs(x, sizes, NORM_BACKWARD)
        sums = x.new_empty(5 if twice else 2 + adds, programs, x.shape[-1])
        given = None if by_total is None else by_total.contiguous(), by_out.contiguous()
        kernels.norm_backward[(programs,)](
            x, branch, bias, kept, weight, shift, next_weight, *given, by_x, by_branch, sums, rows,
            GIVEN=by_total is not None, **sizes,
        )  # fmt: skip
        by_weight, by_shift, *others = sums.sum(dim=1)
        by_bias, by_next_weight, by_next_shift = [*others, None, None, None][:3]
        return by_x, by_branch, by_bias, None, by_weight, by_shift, by_next_weight, by_next_shift, None


class _Gelu(Function):
    """GELU of `x + bias`, exact, on the last axis."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor) -> Tensor:
        out, rows, sizes = torch.empty_like(x), _tokens(x), _sizes(x, GELU)
        kernels.gelu[(triton.cdiv(rows, sizes["ROWS"]),)](x, bias, out, rows, **sizes)
        ctx.save_for_backward(x, bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_out: Tensor) -> tuple[Tensor, Tensor]:
        (x, bias), by_out = ctx.saved_tensors, by_out.contiguous()
        by_x, sizes = torch.empty_like(x), _sizes(x, GELU_BACKWARD)
        programs = _programs(x, sizes, GELU_BACKWARD)
        sums = x.new_empty(programs, x.shape[-1], dtype=torch.float32)
        kernels.gelu_backward[(programs,)](x, bias, by_out, by_x, sums, _tokens(x), **sizes)
        return by_x, sums.sum(dim=0)


class _Split(Function):
    """Queries, keys and values, whose gradients are laid side by side, and summed up for the bias.

    That of the bias of keys is zero: softmax does not see what is added to all keys.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, bias: Tensor, heads: int) -> tuple[Tensor, ...]:
        return tuple(qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        parts = [part.transpose(1, 2).flatten(2).contiguous() for part in given]
        query, (rows, tokens, width) = parts[0], parts[0].shape
        packed, sizes = query.new_empty(rows, tokens, 3 * width), _sizes(query, PACK)
        programs = _programs(query, sizes, PACK)
        sums = query.new_empty(2, programs, width, dtype=torch.float32)
        kernels.pack[(programs,)](*parts, packed, sums, rows * tokens, **sizes)
        by_bias = sums.new_zeros(3, width)
        by_bias[::2] = sums.sum(dim=1)
        return packed, by_bias.flatten(), None


class Pending(NamedTuple):
    """The norm of `x + kept (branch + bias)`, `b t j c`, that a block leaves to what follows."""

    x: Tensor
    branch: Tensor
    bias: Tensor
    kept: Tensor | None
    norm: nn.LayerNorm
    by_joint: bool


def fits(x: Tensor | Pending) -> bool:
    """Whether a block computes `b t j c` in these kernels: on a GPU, under autocast, where nothing is compiled."""
    return isinstance(x, Pending) or (
        x.is_cuda
        and x.dtype == torch.float32
        and torch.is_autocast_enabled("cuda")
        and x.shape[-1] <= WIDEST
        and not torch.compiler.is_compiling()
    )


def enter(x: Tensor | Pending, layer: nn.LayerNorm, *, turned: bool) -> tuple[Tensor, Tensor]:
    """`b t j c` in float32, and normed in 16 bits, `b j t c` if turned; what follows takes both from here."""
    if isinstance(x, Tensor):
        how = How(layer.eps, turned=turned)
        return _Norm.apply(x.contiguous(), None, None, None, layer.weight, layer.bias, None, None, how)
    how = How(x.norm.eps, layer.eps, by_joint=x.by_joint, turned=turned)
    before = x.x, x.branch.contiguous(), x.bias, x.kept, x.norm.weight, x.norm.bias
    return _Norm.apply(*before, layer.weight, layer.bias, how)


def add_norm(
    x: Tensor, branch: Tensor, bias: Tensor, kept: Tensor | None, layer: nn.LayerNorm, *, turned: bool
) -> tuple[Tensor, Tensor]:
    """`x + kept (branch + bias)` in float32, `b t j c`, and its norm in 16 bits; the branch is `b j t c` if turned.

    `kept`, of `b t 1 1` or, if turned, `b 1 j 1`, is what stochastic depth leaves.
    """
    how = How(layer.eps, by_joint=turned, turned_branch=turned, sum=True)
    return _Norm.apply(x, branch.contiguous(), bias, kept, layer.weight, layer.bias, None, None, how)


def settled(x: Pending) -> Tensor:
    """What was left to be done, `b t j c` in float32."""
    how = How(x.norm.eps, by_joint=x.by_joint, short=False)
    before = x.x, x.branch.contiguous(), x.bias, x.kept, x.norm.weight, x.norm.bias
    return _Norm.apply(*before, None, None, how)[1]


def gelu(x: Tensor, bias: Tensor) -> Tensor:
    """Exact GELU of `x + bias`, `... c`."""
    return _Gelu.apply(x.contiguous(), bias)


def split(qkv: Tensor, bias: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, `r h n d`, of `r n (3 h d)`; the gradient of the `bias` in it is made here."""
    return _Split.apply(qkv, bias, heads)


def _shape(x: Tensor, *, turned: bool) -> tuple[int, ...]:
    b, t, j, c = x.shape
    return (b, j, t, c) if turned else (b, t, j, c)


def _tokens(x: Tensor) -> int:
    return x.numel() // x.shape[-1]


def _sizes(x: Tensor, tile: Tile) -> dict[str, Any]:
    width = triton.next_power_of_2(x.shape[-1])
    rows, warps = max(1, tile.numbers // width), tile.warps * max(1, width // tile.numbers)
    return {"width": x.shape[-1], "WIDTH": width, "ROWS": rows, "num_warps": warps}


def _programs(x: Tensor, sizes: dict[str, Any], tile: Tile) -> int:
    """How many programs share the tiles of a pass that adds up over all tokens."""
    every = tile.spread * torch.cuda.get_device_properties(x.device).multi_processor_count
    return min(every, triton.cdiv(_tokens(x), sizes["ROWS"]))
