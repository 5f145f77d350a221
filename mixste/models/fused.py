"""What lies between the matrix products of a block, on a GPU in 16 bits: one Triton kernel a direction for each piece.

Norms, residual sums and GELU do little but move activations, so a kernel reads each once and writes each once: a norm's
backward pass takes the residual's gradient along, a linear layer's bias belongs to what follows it, and sums over
tokens, gradients of biases and norms, are made on the way. Attention among frames wants the tokens of a joint side by
side (`turned`, `b j t c`), and kernels write and read them there. The residual stays float32.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from triton.language.extra import libdevice

from mixste.models import few_tokens

WIDEST = 4096
# Numbers that a program holds at once, and its warps; of those that add up, so many share a multiprocessor.
NORM, NORM_BACKWARD, GELU, GELU_BACKWARD, PACK = (512, 1), (512, 1), (2048, 2), (1024, 2), (512, 1)
SPREAD = 32


@triton.jit
def _rows(tile, rows, inside, ROWS: tl.constexpr):
    """The tokens of a tile, none of them beyond the last, and which of their numbers there are."""
    row = tile * ROWS + tl.arange(0, ROWS)
    return tl.minimum(row, rows - 1), (row < rows)[:, None] & inside


@triton.jit
def _turn(row, frames: tl.constexpr, joints: tl.constexpr):
    """Where token `b t j` lies in `b j t`."""
    return row - row % (frames * joints) + row % joints * frames + row // joints % frames


@triton.jit
def _share(kept, row, frames: tl.constexpr, joints: tl.constexpr, BY_JOINT: tl.constexpr):
    """What a token's branch is multiplied by: `kept` is of `b j` or of `b t`."""
    return tl.load(kept + (row // (frames * joints) * joints + row % joints if BY_JOINT else row // joints))[:, None]


@triton.jit
def _centred(value, inside, width: tl.constexpr, eps: tl.constexpr):
    """A token's numbers less their mean, and what they are divided by, inverted."""
    centred = tl.where(inside, value - tl.sum(value, axis=1)[:, None] / width, 0.0)
    return centred, tl.rsqrt(tl.sum(centred * centred, axis=1)[:, None] / width + eps)


@triton.jit
def _norm(
    x, branch, bias, kept, weight, shift, total, normed, rows,
    width: tl.constexpr, frames: tl.constexpr, joints: tl.constexpr, eps: tl.constexpr, ROWS: tl.constexpr,
    WIDTH: tl.constexpr, ADDS: tl.constexpr, DROPS: tl.constexpr, BY_JOINT: tl.constexpr, TOTAL: tl.constexpr,
    TURNED_BRANCH: tl.constexpr, TURNED: tl.constexpr,
):  # fmt: skip
    column = tl.arange(0, WIDTH)[None, :]
    inside = column < width
    row, there = _rows(tl.program_id(0), rows, inside, ROWS)
    place = row.to(tl.int64)[:, None] * width + column
    turned = _turn(row, frames, joints).to(tl.int64)[:, None] * width + column
    value = tl.load(x + place, there, 0.0)
    if ADDS:
        added = tl.load(branch + (turned if TURNED_BRANCH else place), there, 0.0).to(tl.float32)
        added += tl.load(bias + column, inside, 0.0)
        if DROPS:
            added *= _share(kept, row, frames, joints, BY_JOINT)
        value += added
        if TOTAL:
            tl.store(total + place, value, there)
    centred, scale = _centred(value, inside, width, eps)
    value = centred * scale * tl.load(weight + column, inside, 0.0) + tl.load(shift + column, inside, 0.0)
    tl.store(normed + (turned if TURNED else place), value.to(normed.dtype.element_ty), there)


@triton.jit
def _norm_backward(
    x, branch, bias, kept, weight, by_total, by_normed, by_x, by_branch, sums, rows,
    width: tl.constexpr, frames: tl.constexpr, joints: tl.constexpr, eps: tl.constexpr, ROWS: tl.constexpr,
    WIDTH: tl.constexpr, ADDS: tl.constexpr, DROPS: tl.constexpr, BY_JOINT: tl.constexpr, TOTAL: tl.constexpr,
    TURNED_BRANCH: tl.constexpr, TURNED: tl.constexpr,
):  # fmt: skip
    first, step, column = tl.program_id(0), tl.num_programs(0), tl.arange(0, WIDTH)[None, :]
    inside = column < width
    weights = tl.load(weight + column, inside, 0.0)
    weight_sum = tl.zeros((ROWS, WIDTH), tl.float32)
    shift_sum = tl.zeros((ROWS, WIDTH), tl.float32)
    bias_sum = tl.zeros((ROWS, WIDTH), tl.float32)
    for tile in range(first, tl.cdiv(rows, ROWS), step):
        row, there = _rows(tile, rows, inside, ROWS)
        place = row.to(tl.int64)[:, None] * width + column
        turned = _turn(row, frames, joints).to(tl.int64)[:, None] * width + column
        value = tl.load(x + place, there, 0.0)
        given = tl.load(by_normed + (turned if TURNED else place), there, 0.0).to(tl.float32)
        if ADDS:
            if DROPS:
                share = _share(kept, row, frames, joints, BY_JOINT)
            if not TOTAL:  # x is not yet the sum
                added = tl.load(branch + (turned if TURNED_BRANCH else place), there, 0.0).to(tl.float32)
                added += tl.load(bias + column, inside, 0.0)
                if DROPS:
                    added *= share
                value += added
        centred, scale = _centred(value, inside, width, eps)
        normed, weighted = centred * scale, given * weights
        weight_sum += given * normed
        shift_sum += given
        along = tl.sum(weighted * normed, axis=1)[:, None] / width
        result = (weighted - tl.sum(weighted, axis=1)[:, None] / width - normed * along) * scale
        if TOTAL:
            result += tl.load(by_total + place, there, 0.0)
        tl.store(by_x + place, result, there)
        if ADDS:
            if DROPS:
                result *= share
            bias_sum += result
            tl.store(by_branch + (turned if TURNED_BRANCH else place), result.to(by_branch.dtype.element_ty), there)
    sums += first * width + column
    tl.store(sums, tl.sum(weight_sum, axis=0)[None, :], inside)
    tl.store(sums + step * width, tl.sum(shift_sum, axis=0)[None, :], inside)
    if ADDS:
        tl.store(sums + 2 * step * width, tl.sum(bias_sum, axis=0)[None, :], inside)


@triton.jit
def _normal(x):
    """The density of the normal distribution at x and its integral until x, exact to 1.5e-7 (Abramowitz, 7.1.26)."""
    power = tl.exp2(-0.7213475204444817 * x * x)
    t = libdevice.fast_dividef(1.0, 1.0 + 0.2316418882663604 * tl.abs(x))
    tail = 0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    tail *= 0.5 * t * power
    return 0.3989422804014327 * power, tl.where(x < 0, tail, 1.0 - tail)


@triton.jit
def _gelu(x, bias, out, rows, width: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    column = tl.arange(0, WIDTH)[None, :]
    inside = column < width
    row, there = _rows(tl.program_id(0), rows, inside, ROWS)
    place = row.to(tl.int64)[:, None] * width + column
    value = tl.load(x + place, there, 0.0).to(tl.float32) + tl.load(bias + column, inside, 0.0)
    tl.store(out + place, (value * _normal(value)[1]).to(out.dtype.element_ty), there)


@triton.jit
def _gelu_backward(x, bias, by_out, by_x, sums, rows, width: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    first, step, column = tl.program_id(0), tl.num_programs(0), tl.arange(0, WIDTH)[None, :]
    inside = column < width
    shift = tl.load(bias + column, inside, 0.0)
    bias_sum = tl.zeros((ROWS, WIDTH), tl.float32)
    for tile in range(first, tl.cdiv(rows, ROWS), step):
        row, there = _rows(tile, rows, inside, ROWS)
        place = row.to(tl.int64)[:, None] * width + column
        value = tl.load(x + place, there, 0.0).to(tl.float32) + shift
        given = tl.load(by_out + place, there, 0.0).to(tl.float32)
        density, until = _normal(value)
        result = given * (until + value * density)
        bias_sum += result
        tl.store(by_x + place, result.to(by_x.dtype.element_ty), there)
    tl.store(sums + first * width + column, tl.sum(bias_sum, axis=0)[None, :], inside)


@triton.jit
def _pack(query, key, value, packed, sums, rows, width: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    first, step, column = tl.program_id(0), tl.num_programs(0), tl.arange(0, WIDTH)[None, :]
    inside = column < width
    query_sum = tl.zeros((ROWS, WIDTH), tl.float32)
    value_sum = tl.zeros((ROWS, WIDTH), tl.float32)
    for tile in range(first, tl.cdiv(rows, ROWS), step):
        row, there = _rows(tile, rows, inside, ROWS)
        place = row.to(tl.int64)[:, None] * width + column
        queries, values = tl.load(query + place, there, 0.0), tl.load(value + place, there, 0.0)
        keys = tl.load(key + place, there, 0.0)
        place = packed + 3 * row.to(tl.int64)[:, None] * width + column
        tl.store(place, queries, there)
        tl.store(place + width, keys, there)
        tl.store(place + 2 * width, values, there)
        query_sum += queries
        value_sum += values
    sums += 2 * first * width + column
    tl.store(sums, tl.sum(query_sum, axis=0)[None, :], inside)
    tl.store(sums + width, tl.sum(value_sum, axis=0)[None, :], inside)


class How(NamedTuple):
    """What a norm of `b t j c` does beside: where a branch lies, where the output goes, whether the sum is returned."""

    eps: float
    by_joint: bool = False  # how much of a branch is kept is of `b j`, not of `b t`
    turned_branch: bool = False
    turned: bool = False
    total: bool = True  # x + branch is returned, too, and the norm in 16 bits


class _Norm(Function):
    """`x + kept (branch + bias)` and its norm; without a branch x as it is, so that its gradients meet here."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, branch: Tensor | None, bias: Tensor | None, kept: Tensor | None, weight: Tensor,
        shift: Tensor, how: How,
    ) -> tuple[Tensor | None, Tensor]:  # fmt: skip
        dtype = torch.get_autocast_dtype(x.device.type) if how.total else x.dtype
        normed = x.new_empty(_shape(x, turned=how.turned), dtype=dtype)
        total = torch.empty_like(x) if how.total and branch is not None else None
        sizes = _norm_sizes(x, branch, kept, how, NORM)
        rows = _tokens(x)
        grid = (triton.cdiv(rows, sizes["ROWS"]),)
        _norm[grid](x, branch, bias, kept, weight, shift, total, normed, rows, **sizes)
        ctx.how, ctx.dtype = how, None if branch is None else branch.dtype
        ctx.save_for_backward(*((x, branch) if total is None else (total, None)), bias, kept, weight)
        return (x.view_as(x) if how.total and branch is None else total), normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_total: Tensor | None, by_normed: Tensor) -> tuple[Tensor | None, ...]:
        x, branch, bias, kept, weight = ctx.saved_tensors
        how, adds, by_x = ctx.how, ctx.dtype is not None, torch.empty_like(x)
        by_branch = x.new_empty(_shape(x, turned=how.turned_branch), dtype=ctx.dtype) if adds else None
        if how.total and by_total is None:
            by_total = torch.zeros_like(x)
        sizes = _norm_sizes(x, by_branch, kept, how, NORM_BACKWARD)
        rows = _tokens(x)
        programs = _programs(x, rows, sizes)
        sums = x.new_empty(2 + adds, programs, x.shape[-1])
        given = None if by_total is None else by_total.contiguous(), by_normed.contiguous()
        _norm_backward[(programs,)](x, branch, bias, kept, weight, *given, by_x, by_branch, sums, rows, **sizes)
        by_weight, by_shift, *by_bias = sums.sum(dim=1)
        return by_x, by_branch, by_bias[0] if adds else None, None, by_weight, by_shift, None


class _Gelu(Function):
    """GELU of `x + bias`, exact, on the last axis."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor) -> Tensor:
        out, rows, sizes = torch.empty_like(x), _tokens(x), _sizes(x, GELU)
        _gelu[(triton.cdiv(rows, sizes["ROWS"]),)](x, bias, out, rows, **sizes)
        ctx.save_for_backward(x, bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_out: Tensor) -> tuple[Tensor, Tensor]:
        (x, bias), sizes = ctx.saved_tensors, _sizes(by_out, GELU_BACKWARD)
        by_x, rows = torch.empty_like(x), _tokens(x)
        programs = _programs(x, rows, sizes)
        sums = x.new_empty(programs, x.shape[-1], dtype=torch.float32)
        _gelu_backward[(programs,)](x, bias, by_out.contiguous(), by_x, sums, rows, **sizes)
        return by_x, sums.sum(dim=0)


class _MixFew(Function):
    """Attention among few tokens of `r n (3 h d)`, to which the bias has been added, whose gradient it sums up."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, bias: Tensor, heads: int, scale: float) -> Tensor:
        ctx.save_for_backward(qkv)
        ctx.how = heads, scale
        return few_tokens.mix(qkv, heads, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        return *few_tokens.mix_backward_with_sums(*ctx.saved_tensors, given, *ctx.how), None, None


class _Split(Function):
    """`r n (3 h d)`, to which the bias has been added, as queries, keys and values, `r h n d`."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, bias: Tensor, heads: int) -> tuple[Tensor, ...]:
        return tuple(qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        parts = [part.transpose(1, 2).flatten(2).contiguous() for part in given]
        query, (rows, tokens, width) = parts[0], parts[0].shape
        packed, sizes = query.new_empty(rows, tokens, 3 * width), _sizes(query, PACK)
        programs = _programs(query, rows * tokens, sizes)
        sums = query.new_empty(programs, 2, width, dtype=torch.float32)
        _pack[(programs,)](*parts, packed, sums, rows * tokens, **sizes)
        return packed, few_tokens.bias_gradient(sums), None


def fits(x: Tensor) -> bool:
    """Whether a block computes `b t j c` in these kernels: on a GPU, under autocast, where nothing is compiled."""
    return (
        x.is_cuda
        and x.dtype == torch.float32
        and torch.is_autocast_enabled("cuda")
        and x.shape[-1] <= WIDEST
        and not torch.compiler.is_compiling()
    )


def norm(x: Tensor, layer: nn.LayerNorm, *, turned: bool) -> tuple[Tensor, Tensor]:
    """`b t j c` in float32 as it is, and normed in 16 bits, `b j t c` if turned; what follows takes both from here."""
    return _Norm.apply(x.contiguous(), None, None, None, layer.weight, layer.bias, How(layer.eps, turned=turned))


def add_norm(
    x: Tensor, branch: Tensor, bias: Tensor, kept: Tensor | None, layer: nn.LayerNorm, *, turned: bool
) -> tuple[Tensor, Tensor]:
    """`x + kept (branch + bias)` in float32, `b t j c`, and its norm in 16 bits; the branch is `b j t c` if turned.

    `kept`, of `b t 1 1` or, if turned, `b 1 j 1`, is what stochastic depth leaves.
    """
    how = How(layer.eps, by_joint=turned, turned_branch=turned)
    return _Norm.apply(x, branch.contiguous(), bias, kept, layer.weight, layer.bias, how)


def norm_of_sum(
    x: Tensor, branch: Tensor, bias: Tensor, kept: Tensor | None, layer: nn.LayerNorm, *, by_joint: bool
) -> Tensor:
    """The norm of `x + kept (branch + bias)` in float32, `b t j c`, where nothing else is done with the sum."""
    how = How(layer.eps, by_joint=by_joint, total=False)
    return _Norm.apply(x, branch.contiguous(), bias, kept, layer.weight, layer.bias, how)[1]


def gelu(x: Tensor, bias: Tensor) -> Tensor:
    """Exact GELU of `x + bias`, `... c`."""
    return _Gelu.apply(x.contiguous(), bias)


def mix_few(qkv: Tensor, bias: Tensor, heads: int, scale: float) -> Tensor:
    """`few_tokens.mix` of what `bias` has been added to, detached: its gradient is summed up here."""
    return _MixFew.apply(qkv, bias, heads, scale)


def split(qkv: Tensor, bias: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, `r h n d`, of `r n (3 h d)`, to which `bias` has been added, likewise."""
    return _Split.apply(qkv, bias, heads)


def _tokens(x: Tensor) -> int:
    return x.numel() // x.shape[-1]


def _shape(x: Tensor, *, turned: bool) -> tuple[int, ...]:
    b, t, j, c = x.shape
    return (b, j, t, c) if turned else (b, t, j, c)


def _norm_sizes(
    x: Tensor, branch: Tensor | None, kept: Tensor | None, how: How, tile: tuple[int, int]
) -> dict[str, Any]:
    frames, joints = x.shape[1:3]
    return _sizes(x, tile) | {
        "frames": frames,
        "joints": joints,
        "eps": how.eps,
        "ADDS": branch is not None,
        "DROPS": kept is not None,
        "BY_JOINT": how.by_joint,
        "TOTAL": how.total,
        "TURNED_BRANCH": how.turned_branch,
        "TURNED": how.turned,
    }


def _sizes(x: Tensor, tile: tuple[int, int]) -> dict[str, Any]:
    numbers, warps = tile
    width = triton.next_power_of_2(x.shape[-1])
    return {"width": x.shape[-1], "WIDTH": width, "ROWS": max(1, numbers // width), "num_warps": warps}


def _programs(x: Tensor, rows: int, sizes: dict[str, Any]) -> int:
    """How many programs share the tiles of a pass that adds up over all tokens."""
    every = SPREAD * torch.cuda.get_device_properties(x.device).multi_processor_count
    return min(every, triton.cdiv(rows, sizes["ROWS"]))
