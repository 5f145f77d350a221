"""Kernels in C for a CPU in float32 and bfloat16: calls what `native_compiling` makes of the C beside it.

Where that fails there is nothing to call, and torch's own operations compute the same, more slowly. There are no
gradients of gradients.
"""

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import Parameter

from mixste.models.kernels import native_compiling

if TYPE_CHECKING:
    from mixste.models.kernels.fused import How

MULTIPLE = 16  # a token that is normed has a multiple of so many numbers
PARTS = 32  # of a sum over tokens: as many threads share it at most


class _Rows(ctypes.Structure):
    _fields_ = [
        ("start", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("batch", "row", "token")),
        ("bf16", ctypes.c_int),
    ]


class _Sizes(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batches", "rows", "tokens", "heads", "width")),
        ("scale", ctypes.c_float),
    ]


class _Normed(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "branch", "bias", "kept", "weight", "shift")),
        *((name, ctypes.c_void_p) for name in ("next_weight", "next_shift", "total", "out")),
        *((name, ctypes.c_int64) for name in ("tokens", "frames", "joints", "width")),
        *((name, ctypes.c_float) for name in ("eps", "next_eps")),
        *((name, ctypes.c_int) for name in ("by_joint", "bf16_branch", "bf16_out")),
    ]


class _Gradients(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("by_total", "by_out", "by_x", "by_branch", "sums")),
        ("parts", ctypes.c_int64),
    ]


_PLACE, _INT, _LONG, _FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float
_OF_ROWS, _OF_NORMED = ctypes.POINTER(_Rows), ctypes.POINTER(_Normed)
_ARGUMENTS = {
    "mix": [_OF_ROWS, _PLACE, *[_OF_ROWS] * 3, _PLACE, _PLACE, ctypes.POINTER(_Sizes), _LONG, _INT],
    "norm": [_OF_NORMED, _INT],
    "norm_backward": [_OF_NORMED, ctypes.POINTER(_Gradients), _INT],
    "gelu": [*[_PLACE] * 3, _LONG, _LONG, _INT, _INT],
    "gelu_backward": [*[_PLACE] * 5, _LONG, _LONG, _LONG, _INT, _INT],
    "round_to_bytes": [_PLACE, _LONG, _FLOAT, _FLOAT, _PLACE, _INT],
}


@cache
def library() -> ctypes.CDLL | None:
    """What the C was compiled to, or None."""
    found = native_compiling.load()
    for name, arguments in _ARGUMENTS.items() if found else ():
        getattr(found, name).argtypes = arguments
    return found


def takes(x: Tensor) -> bool:
    """Whether there are kernels for a tensor of such numbers; not where it is traced, transformed or no data."""
    return (
        x.device.type == "cpu"
        and type(x) in (Tensor, Parameter)
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined]
        and not torch._C._are_functorch_transforms_active()
        and library() is not None
    )


def norms(width: int) -> bool:
    """Whether tokens of so many numbers are normed here."""
    return width % MULTIPLE == 0 and width <= native_compiling.WIDEST


def mix(qkv: Tensor, heads: int, scale: float, bias: Tensor | None = None) -> Tensor:
    """Softmax attention among the n tokens of every row, `b r n (3 h d) -> b r n (h d)`, of `qkv + bias`; scale > 0.

    Tokens are read where they lie, and laid as they lay: what was `b n r` in memory still is.
    """
    return _Mix.apply(qkv, bias, heads, scale)


class _Mix(Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, bias: Tensor | None, heads: int, scale: float) -> Tensor:
        b, r, n, triple = qkv.shape
        mixed = _laid_as(qkv, triple // 3)
        softmax = qkv.new_empty(b, r, heads, 2, n, dtype=torch.float32)
        _mix(qkv, bias, mixed, None, None, softmax, None, scale)
        ctx.save_for_backward(qkv, bias, softmax)
        ctx.scale = scale
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        qkv, bias, softmax = ctx.saved_tensors
        gradient = _laid_as(qkv, qkv.shape[-1])
        sums = None if bias is None else bias.new_zeros(PARTS, len(bias))
        _mix(qkv, bias, None, given, gradient, softmax, sums, ctx.scale)
        return gradient, None if sums is None else sums.sum(dim=0), None, None


def _laid_as(like: Tensor, width: int) -> Tensor:
    """Empty `b r n width` without gaps, in memory `b n r` where the other's rows lie nearer than its tokens."""
    b, r, n, _ = like.shape
    if like.stride(1) < like.stride(2):
        return like.new_empty(b, n, r, width).transpose(1, 2)
    return like.new_empty(b, r, n, width)


def _mix(
    qkv: Tensor, bias: Tensor | None, mixed: Tensor | None, given: Tensor | None, gradient: Tensor | None,
    softmax: Tensor, sums: Tensor | None, scale: float,
) -> None:  # fmt: skip
    b, r, n, triple = qkv.shape
    heads = softmax.shape[2]
    qkv, given = _even(qkv), None if given is None else _even(given)
    sizes = _Sizes(b, r, n, heads, triple // 3 // heads, scale)
    parts = b * r * heads if sums is None else PARTS
    threads = max(1, min(torch.get_num_threads(), parts))
    if _run("mix", _rows(qkv), bias, *map(_rows, (mixed, given, gradient)), softmax, sums, sizes, parts, threads):
        raise MemoryError("no memory for attention")


def _even(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _rows(x: Tensor | None) -> _Rows | None:
    return None if x is None else _Rows(x.data_ptr(), *x.stride()[:3], _bf16(x))


def norm(
    x: Tensor, branch: Tensor | None, bias: Tensor | None, kept: Tensor | None, weight: Tensor, shift: Tensor,
    next_weight: Tensor | None, next_shift: Tensor | None, total: Tensor | None, out: Tensor, how: "How",
) -> None:  # fmt: skip
    """What `fused` asks of a norm, into `total` and `out`."""
    given = (x, branch, bias, kept, weight, shift, next_weight, next_shift, total, out)
    _run("norm", _normed(*given, how=how, bf16=(branch, out)), torch.get_num_threads())


def norm_backward(
    x: Tensor, branch: Tensor | None, bias: Tensor | None, kept: Tensor | None, weight: Tensor, shift: Tensor,
    next_weight: Tensor | None, by_total: Tensor | None, by_out: Tensor, by_x: Tensor, by_branch: Tensor | None,
    how: "How",
) -> Tensor:  # fmt: skip
    """Its gradients, into `by_x` and `by_branch`, and sums, `5 parts c`."""
    sums = x.new_zeros(PARTS, 5, x.shape[-1])
    normed = _normed(x, branch, bias, kept, weight, shift, next_weight, how=how, bf16=(by_branch, by_out))
    gradients = _Gradients(*map(_place, (by_total, by_out, by_x, by_branch, sums)), PARTS)
    _run("norm_backward", normed, gradients, torch.get_num_threads())
    return sums.transpose(0, 1)


def _normed(x: Tensor, *others: Tensor | None, how: "How", bf16: tuple[Tensor | None, Tensor]) -> _Normed:
    """`bf16`: a branch and an output, or gradients by them, which may be so short."""
    _, t, j, c = x.shape
    normed = _Normed(*map(_place, (x, *others)), tokens=x.numel() // c, frames=t, joints=j, width=c)
    normed.eps, normed.next_eps, normed.by_joint = how.eps, how.next_eps, how.by_joint
    normed.bf16_branch, normed.bf16_out = map(_bf16, bf16)
    return normed


def _place(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


def _bf16(x: Tensor | None) -> bool:
    return x is not None and x.dtype == torch.bfloat16


def gelu(x: Tensor, bias: Tensor, out: Tensor) -> None:
    """GELU of `x + bias`, into `out`."""
    _run("gelu", x, bias, out, x.numel() // x.shape[-1], x.shape[-1], _bf16(x), torch.get_num_threads())


def gelu_backward(x: Tensor, bias: Tensor, by_out: Tensor, by_x: Tensor) -> Tensor:
    """Its gradient, into `by_x`, and sums, `parts c`."""
    sums = x.new_zeros(PARTS, x.shape[-1], dtype=torch.float32)
    sizes = x.numel() // x.shape[-1], x.shape[-1], PARTS, _bf16(x)
    _run("gelu_backward", x, bias, by_out, by_x, sums, *sizes, torch.get_num_threads())
    return sums


def rounded(x: Tensor, scale: float, shift: float) -> Tensor:
    """Return `x * scale + shift` without what is behind the point, which has 8 bits; x is float32."""
    x = x.contiguous()
    result = torch.empty_like(x, dtype=torch.uint8)
    _run("round_to_bytes", x, x.numel(), scale, shift, result, torch.get_num_threads())
    return result


def _run(name: str, *arguments: Any) -> int:
    """Call what was compiled, with tensors by their addresses."""
    function = getattr(library(), name)
    return function(*(x.data_ptr() if isinstance(x, Tensor) else x for x in arguments))
