"""What lies between the matrix products of a block: one kernel a direction for each piece.

On a GPU in 16 bits they are Triton's (`triton_launching`), on a CPU C's (`native`).
Norms, residual sums and GELU do little but move activations, so a kernel reads each once and writes each once: a norm's
backward pass takes the residual's gradient along, a linear layer's bias belongs to what follows it, and sums over
tokens, gradients of biases and norms, are made on the way. The sum and norm that end a block are left to the block that
follows (`Pending`), whose first norm is made in the same pass. Attention among frames on a GPU wants the tokens of a
joint side by side (`turned`, `b j t c`), and kernels write and read them there. The residual stays float32.
"""

from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixste.machine.hardware import missing_to_compile
from mixste.models.kernels import native

if torch.version.cuda and find_spec("triton") and not missing_to_compile("cuda"):
    from mixste.models.kernels import triton_launching
else:
    triton_launching = None  # type: ignore[assignment]


class How(NamedTuple):
    """What a norm of `b t j c` does beside, and where a branch lies and the output goes."""

    eps: float
    next_eps: float = 0.0
    by_joint: bool = False  # what is kept of a branch is of `b j`, not of `b t`
    turned_branch: bool = False
    turned: bool = False
    sum: bool = False  # the sum is given back, too
    short: bool = True  # the output has autocast's bits


class _Norm(Function):
    """The norm of `x + kept (branch + bias)` or of x, and beside it the sum, or x; or that norm, and the next of it.

    x passes through, so that all its gradients meet here.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, branch: Tensor | None, bias: Tensor | None, kept: Tensor | None, weight: Tensor,
        shift: Tensor, next_weight: Tensor | None, next_shift: Tensor | None, how: How,
    ) -> tuple[Tensor | None, Tensor]:  # fmt: skip
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if how.short and torch.is_autocast_enabled(kind) else x.dtype
        out = x.new_empty(_shape(x, turned=how.turned), dtype=dtype)
        total = torch.empty_like(x) if how.sum or next_weight is not None else None
        _kernels(x).norm(x, branch, bias, kept, weight, shift, next_weight, next_shift, total, out, how)
        ctx.how, ctx.branch_dtype = how, None if branch is None else branch.dtype
        summed = (total, None) if how.sum else (x, branch)
        ctx.save_for_backward(*summed, bias, kept, weight, shift, next_weight)
        return (x.view_as(x) if branch is None else total), out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_total: Tensor | None, by_out: Tensor) -> tuple[Tensor | None, ...]:
        x, branch, bias, kept, weight, shift, next_weight = ctx.saved_tensors
        how, adds, by_x = ctx.how, ctx.branch_dtype is not None, torch.empty_like(x)
        shape = _shape(x, turned=how.turned_branch)
        by_branch = x.new_empty(shape, dtype=ctx.branch_dtype) if adds else None
        given = None if by_total is None else by_total.contiguous(), by_out.contiguous()
        sums = _kernels(x).norm_backward(
            x, branch, bias, kept, weight, shift, next_weight, *given, by_x, by_branch, how
        )
        by_weight, by_shift, *others = sums.sum(dim=1)
        by_bias = others.pop(0) if adds else None
        by_bias = None if bias is None else by_bias
        by_next_weight, by_next_shift = others if next_weight is not None else (None, None)
        return by_x, by_branch, by_bias, None, by_weight, by_shift, by_next_weight, by_next_shift, None


class _Gelu(Function):
    """GELU of `x + bias`, exact, on the last axis."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor) -> Tensor:
        out = torch.empty_like(x)
        _kernels(x).gelu(x, bias, out)
        ctx.save_for_backward(x, bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_out: Tensor) -> tuple[Tensor, Tensor]:
        (x, bias), by_out = ctx.saved_tensors, by_out.contiguous()
        by_x = torch.empty_like(x)
        return by_x, _kernels(x).gelu_backward(x, bias, by_out, by_x).sum(dim=0)


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
        query, key, value = (part.transpose(1, 2).flatten(2).contiguous() for part in given)
        rows, tokens, width = query.shape
        packed = query.new_empty(rows, tokens, 3 * width)
        sums = triton_launching.pack(query, key, value, packed)
        by_bias = sums.new_zeros(3, width)
        by_bias[::2] = sums.sum(dim=1)
        return packed, by_bias.flatten(), None


class Pending(NamedTuple):
    """The norm of `x + kept (branch + bias)`, `b t j c`, that a block leaves to what follows."""

    x: Tensor
    branch: Tensor
    bias: Tensor | None
    kept: Tensor | None
    norm: nn.LayerNorm
    by_joint: bool


def fits(x: Tensor | Pending) -> bool:
    """Whether a block computes `b t j c` in kernels: in 16 bits, on a CPU in float32, too; not to be compiled."""
    if isinstance(x, Pending):
        return True
    if x.dtype != torch.float32 or torch.compiler.is_compiling():
        return False
    if x.is_cuda:
        return has_triton() and torch.is_autocast_enabled("cuda") and x.shape[-1] <= triton_launching.WIDEST
    bits = not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") == torch.bfloat16
    return bits and native.takes(x) and native.norms(x.shape[-1])


def enter(x: Tensor | Pending, layer: nn.LayerNorm, *, turned: bool) -> tuple[Tensor, Tensor]:
    """`b t j c` in float32, and normed, `b j t c` if turned; what follows takes both from here."""
    if isinstance(x, Tensor):
        how = How(layer.eps, turned=turned)
        return _Norm.apply(x.contiguous(), None, None, None, layer.weight, layer.bias, None, None, how)
    how = How(x.norm.eps, layer.eps, by_joint=x.by_joint, turned=turned)
    before = x.x, x.branch.contiguous(), x.bias, x.kept, x.norm.weight, x.norm.bias
    return _Norm.apply(*before, layer.weight, layer.bias, how)


def add_norm(
    x: Tensor, branch: Tensor, bias: Tensor | None, kept: Tensor | None, layer: nn.LayerNorm, *, by_joint: bool,
    turned: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """`x + kept (branch + bias)` in float32, `b t j c`, and its norm; the branch is `b j t c` if turned.

    `kept`, of `b t 1 1` or, if by joint, `b 1 j 1`, is what stochastic depth leaves.
    """
    how = How(layer.eps, by_joint=by_joint, turned_branch=turned, sum=True)
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


def has_triton() -> bool:
    """Whether there are kernels for a GPU."""
    return triton_launching is not None


def by_triton(x: Tensor) -> bool:
    """Whether kernels of this tensor are Triton's, not C's."""
    return x.is_cuda


def _kernels(x: Tensor) -> ModuleType:
    return triton_launching if by_triton(x) else native


def _shape(x: Tensor, *, turned: bool) -> tuple[int, ...]:
    b, t, j, c = x.shape
    return (b, j, t, c) if turned else (b, t, j, c)
