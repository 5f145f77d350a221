"""The Triton kernels of `fused`: norms with residual sums, GELU, and the laying together of gradients.

A program takes a tile of whole tokens; programs of a backward pass take many, and add up in registers what is summed
over tokens, `sums`, of which each program leaves its part. Sizes are constants, so that memory is read in the widest
pieces.
"""

import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def _rows(tile, rows, inside, ROWS: tl.constexpr):
    """The tokens of a tile, none of them beyond the last, and which of their numbers there are."""
    row = tile * ROWS + tl.arange(0, ROWS)
    return tl.minimum(row, rows - 1), (row < rows)[:, None] & inside


@triton.jit
def _places(row, column, width: tl.constexpr, frames: tl.constexpr, joints: tl.constexpr):
    """Where the numbers of token `b t j` lie in `b t j c` and in `b j t c`."""
    turned = row - row % (frames * joints) + row % joints * frames + row // joints % frames
    return row.to(tl.int64)[:, None] * width + column, turned.to(tl.int64)[:, None] * width + column


@triton.jit
def _leave(sums, number: tl.constexpr, values, column, inside, width: tl.constexpr):
    """Write a program's part of the sum of a number, `sums programs c`."""
    part = sums + (number * tl.num_programs(0) + tl.program_id(0)) * width
    tl.store(part + column, tl.sum(values, axis=0)[None, :], inside)


@triton.jit
def _share(kept, row, frames: tl.constexpr, joints: tl.constexpr, BY_JOINT: tl.constexpr):
    """What a token's branch is multiplied by: `kept` is of `b j` or of `b t`."""
    return tl.load(kept + (row // (frames * joints) * joints + row % joints if BY_JOINT else row // joints))[:, None]


@triton.jit
def _normed(value, inside, width: tl.constexpr, eps: tl.constexpr):
    """A token's numbers with mean 0 and variance 1, and what they were multiplied by for that."""
    centred = tl.where(inside, value - tl.sum(value, axis=1)[:, None] / width, 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, axis=1)[:, None] / width + eps)
    return centred * scale, scale


@triton.jit
def _by_value(weighted, normed, scale, width: tl.constexpr):
    """The gradient by what was normed, from that by its result."""
    along = tl.sum(weighted * normed, axis=1)[:, None] / width
    return (weighted - tl.sum(weighted, axis=1)[:, None] / width - normed * along) * scale


@triton.jit
def norm(
    x, branch, bias, kept, weight, shift, next_weight, next_shift, total, out, rows,
    width: tl.constexpr, frames: tl.constexpr, joints: tl.constexpr, eps: tl.constexpr, next_eps: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, ADDS: tl.constexpr, DROPS: tl.constexpr, BY_JOINT: tl.constexpr,
    SUM: tl.constexpr, TWICE: tl.constexpr, TURNED_BRANCH: tl.constexpr, TURNED: tl.constexpr,
):  # fmt: skip
    """The norm of x, or of `x + kept (branch + bias)`, and that sum (SUM); or that norm and the next of it (TWICE)."""
    column = tl.arange(0, WIDTH)[None, :]
    inside = column < width
    row, there = _rows(tl.program_id(0), rows, inside, ROWS)
    place, turned = _places(row, column, width, frames, joints)
    value = tl.load(x + place, there, 0.0)
    if ADDS:
        added = tl.load(branch + (turned if TURNED_BRANCH else place), there, 0.0).to(tl.float32)
        added += tl.load(bias + column, inside, 0.0)
        value += added * (_share(kept, row, frames, joints, BY_JOINT) if DROPS else 1.0)
    if SUM:
        tl.store(total + place, value, there)
    value = _normed(value, inside, width, eps)[0] * tl.load(weight + column, inside, 0.0)
    value += tl.load(shift + column, inside, 0.0)
    if TWICE:
        tl.store(total + place, value, there)
        value = _normed(value, inside, width, next_eps)[0] * tl.load(next_weight + column, inside, 0.0)
        value += tl.load(next_shift + column, inside, 0.0)
    tl.store(out + (turned if TURNED else place), value.to(out.dtype.element_ty), there)


@triton.jit
def norm_backward(
    x, branch, bias, kept, weight, shift, next_weight, by_total, by_out, by_x, by_branch, sums, rows,
    width: tl.constexpr, frames: tl.constexpr, joints: tl.constexpr, eps: tl.constexpr, next_eps: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, ADDS: tl.constexpr, DROPS: tl.constexpr, BY_JOINT: tl.constexpr,
    SUM: tl.constexpr, TWICE: tl.constexpr, TURNED_BRANCH: tl.constexpr, TURNED: tl.constexpr, GIVEN: tl.constexpr,
):  # fmt: skip
    """Gradients by x and branch; sums are those by weight, shift, bias, and the next weight and shift."""
    first, step, column = tl.program_id(0), tl.num_programs(0), tl.arange(0, WIDTH)[None, :]
    inside = column < width
    weight_sum, shift_sum = tl.zeros((ROWS, WIDTH), tl.float32), tl.zeros((ROWS, WIDTH), tl.float32)
    next_weight_sum, next_shift_sum = tl.zeros((ROWS, WIDTH), tl.float32), tl.zeros((ROWS, WIDTH), tl.float32)
    bias_sum = tl.zeros((ROWS, WIDTH), tl.float32)
    for tile in range(first, tl.cdiv(rows, ROWS), step):
        row, there = _rows(tile, rows, inside, ROWS)
        place, turned = _places(row, column, width, frames, joints)
        value = tl.load(x + place, there, 0.0)
        given = tl.load(by_out + (turned if TURNED else place), there, 0.0).to(tl.float32)
        share = _share(kept, row, frames, joints, BY_JOINT) if DROPS else 1.0
        if ADDS and not SUM:  # else x is the sum
            added = tl.load(branch + (turned if TURNED_BRANCH else place), there, 0.0).to(tl.float32)
            value += (added + tl.load(bias + column, inside, 0.0)) * share
        normed, scale = _normed(value, inside, width, eps)
        weights = tl.load(weight + column, inside, 0.0)
        if TWICE:
            again, next_scale = _normed(
                normed * weights + tl.load(shift + column, inside, 0.0), inside, width, next_eps
            )
            next_weight_sum += given * again
            next_shift_sum += given
            given = _by_value(given * tl.load(next_weight + column, inside, 0.0), again, next_scale, width)
            given += tl.load(by_total + place, there, 0.0)
        weight_sum += given * normed
        shift_sum += given
        result = _by_value(given * weights, normed, scale, width)
        if GIVEN and not TWICE:
            result += tl.load(by_total + place, there, 0.0)
        tl.store(by_x + place, result, there)
        if ADDS:
            result *= share
            bias_sum += result
            tl.store(by_branch + (turned if TURNED_BRANCH else place), result.to(by_branch.dtype.element_ty), there)
    _leave(sums, 0, weight_sum, column, inside, width)
    _leave(sums, 1, shift_sum, column, inside, width)
    if ADDS:
        _leave(sums, 2, bias_sum, column, inside, width)
    if TWICE:
        _leave(sums, 3, next_weight_sum, column, inside, width)
        _leave(sums, 4, next_shift_sum, column, inside, width)


@triton.jit
def _normal(x):
    """The density of the normal distribution at x and its integral until x, exact to 1.5e-7 (Abramowitz, 7.1.26)."""
    power = tl.exp2(-0.7213475204444817 * x * x)
    t = libdevice.fast_dividef(1.0, 1.0 + 0.2316418882663604 * tl.abs(x))
    tail = 0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    tail *= 0.5 * t * power
    return 0.3989422804014327 * power, tl.where(x < 0, tail, 1.0 - tail)


@triton.jit
def gelu(x, bias, out, rows, width: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """GELU of `x + bias`."""
    column = tl.arange(0, WIDTH)[None, :]
    inside = column < width
    row, there = _rows(tl.program_id(0), rows, inside, ROWS)
    place = row.to(tl.int64)[:, None] * width + column
    value = tl.load(x + place, there, 0.0).to(tl.float32) + tl.load(bias + column, inside, 0.0)
    tl.store(out + place, (value * _normal(value)[1]).to(out.dtype.element_ty), there)


@triton.jit
def gelu_backward(x, bias, by_out, by_x, sums, rows, width: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """The gradient by x; its sums are that by the bias."""
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
    _leave(sums, 0, bias_sum, column, inside, width)


@triton.jit
def pack(query, key, value, packed, sums, rows, width: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Lay three gradients side by side; sums are of the first and the last."""
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
    _leave(sums, 0, query_sum, column, inside, width)
    _leave(sums, 1, value_sum, column, inside, width)
