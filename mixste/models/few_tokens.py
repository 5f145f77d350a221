"""Attention among few tokens on a GPU: one fused Triton kernel a direction, where library kernels waste their tiles.

A body has some 17 joints, of which flash attention's tile of 128 by 128 would be filled to a fiftieth. Here a program
holds all tokens of a row and a head: the softmax is whole, the backward pass needs nothing but the input, and queries,
keys and values are read where the linear layer left them. `scale` is a constant, because compiled code would pass a
double, which makes doubles of all that it meets.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.library import triton_op, wrap_triton
from torch.utils.flop_counter import register_flop_formula

FORWARD, BACKWARD = (1, 2, 1), (1, 2, 1)  # rows of a program, its warps, and stages of its loop


@triton.jit
def _place(
    start, row, rows, head,
    tokens: tl.constexpr, stride: tl.constexpr, width: tl.constexpr, TOKENS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    token, column = tl.arange(0, TOKENS)[:, None], tl.arange(0, WIDTH)[None, :]
    there = (row < rows) & (token < tokens) & (column < width)
    return start + (row * tokens + token) * stride + head * width + column, there


@triton.jit
def _weights(query, key, scale: tl.constexpr, tokens: tl.constexpr, TOKENS: tl.constexpr, PRODUCTS: tl.constexpr):
    scores = tl.dot(query, tl.trans(key), input_precision=PRODUCTS) * scale
    scores = tl.where(tl.arange(0, TOKENS)[None, :] < tokens, scores, float("-inf"))
    powers = tl.exp(scores - tl.max(scores, axis=1)[:, None])
    return powers / tl.sum(powers, axis=1)[:, None]


@triton.jit
def _mix(
    qkv, mixed, rows, scale: tl.constexpr,
    stride: tl.constexpr, tokens: tl.constexpr, heads: tl.constexpr, width: tl.constexpr,
    TOKENS: tl.constexpr, WIDTH: tl.constexpr, PRODUCTS: tl.constexpr, EACH: tl.constexpr,
):  # fmt: skip
    head, program = tl.program_id(0) % heads, tl.program_id(0) // heads
    for number in range(EACH):
        row = program.to(tl.int64) * EACH + number
        place, there = _place(qkv, row, rows, head, tokens, stride, width, TOKENS, WIDTH)
        query, key = tl.load(place, there, 0.0), tl.load(place + heads * width, there, 0.0)
        value = tl.load(place + 2 * heads * width, there, 0.0)
        weights = _weights(query, key, scale, tokens, TOKENS, PRODUCTS).to(value.dtype)
        place, there = _place(mixed, row, rows, head, tokens, heads * width, width, TOKENS, WIDTH)
        tl.store(place, tl.dot(weights, value, input_precision=PRODUCTS).to(value.dtype), there)


@triton.jit
def _mix_backward(
    qkv, mixed_gradient, gradient, sums, rows, scale: tl.constexpr,
    stride: tl.constexpr, tokens: tl.constexpr, heads: tl.constexpr, width: tl.constexpr,
    TOKENS: tl.constexpr, WIDTH: tl.constexpr, PRODUCTS: tl.constexpr, EACH: tl.constexpr, SUMS: tl.constexpr,
):  # fmt: skip
    head, program = tl.program_id(0) % heads, tl.program_id(0) // heads
    query_sum = tl.zeros((TOKENS, WIDTH), tl.float32)
    value_sum = tl.zeros((TOKENS, WIDTH), tl.float32)
    for number in range(EACH):
        row = program.to(tl.int64) * EACH + number
        place, there = _place(qkv, row, rows, head, tokens, stride, width, TOKENS, WIDTH)
        query, key = tl.load(place, there, 0.0), tl.load(place + heads * width, there, 0.0)
        value = tl.load(place + 2 * heads * width, there, 0.0)
        place, there = _place(mixed_gradient, row, rows, head, tokens, heads * width, width, TOKENS, WIDTH)
        given = tl.load(place, there, 0.0)
        weights = _weights(query, key, scale, tokens, TOKENS, PRODUCTS)
        by_weight = tl.dot(given, tl.trans(value), input_precision=PRODUCTS)
        by_score = weights * (by_weight - tl.sum(weights * by_weight, axis=1)[:, None]) * scale
        weights, by_score = weights.to(value.dtype), by_score.to(value.dtype)
        place, there = _place(gradient, row, rows, head, tokens, 3 * heads * width, width, TOKENS, WIDTH)
        by_query = tl.dot(by_score, key, input_precision=PRODUCTS)
        by_value = tl.dot(tl.trans(weights), given, input_precision=PRODUCTS).to(value.dtype)
        tl.store(place, by_query.to(value.dtype), there)
        by_key = tl.dot(tl.trans(by_score), query, input_precision=PRODUCTS).to(value.dtype)
        tl.store(place + heads * width, by_key, there)
        tl.store(place + 2 * heads * width, by_value, there)
        if SUMS:
            query_sum += by_query
            value_sum += given
    if SUMS:
        column = tl.arange(0, WIDTH)
        sums += 2 * program * heads * width + head * width + column
        tl.store(sums, tl.sum(query_sum, axis=0), column < width)
        tl.store(sums + heads * width, tl.sum(value_sum, axis=0), column < width)


@triton_op("mixste::mix", mutates_args=())
def mix(qkv: Tensor, heads: int, scale: float) -> Tensor:
    """Softmax attention among the n <= 32 tokens of every row on a GPU: `r n (3 h d) -> r n (h d)`, d <= 128."""
    qkv = _with_even_tokens(qkv)
    rows, tokens, triple = qkv.shape
    mixed = qkv.new_empty(rows, tokens, triple // 3)
    sizes = _sizes(qkv, heads, FORWARD)
    wrap_triton(_mix)[(heads * triton.cdiv(rows, sizes["EACH"]),)](qkv, mixed, rows, scale, **sizes)
    return mixed


@triton_op("mixste::mix_backward", mutates_args=())
def mix_backward(qkv: Tensor, mixed_gradient: Tensor, heads: int, scale: float) -> Tensor:
    """The gradient of `mix` by its input, `r n (3 h d)`, from that by its output, `r n (h d)`."""
    return _backward(qkv, mixed_gradient, heads, scale, sums=False)[0]


def mix_backward_with_sums(qkv: Tensor, mixed_gradient: Tensor, heads: int, scale: float) -> tuple[Tensor, Tensor]:
    """The same, and the gradient of a bias of the input, `(3 h d)` in float32."""
    gradient, sums = _backward(qkv, mixed_gradient, heads, scale, sums=True)
    return gradient, bias_gradient(sums)


def bias_gradient(sums: Tensor) -> Tensor:
    """`(3 h d)` from parts of sums over tokens of the gradients of queries and values, `parts 2 (h d)`.

    That of keys is zero: softmax does not see what is added to all keys.
    """
    total = sums.new_zeros(3, sums.shape[-1])
    total[::2] = sums.sum(dim=0)
    return total.flatten()


def _backward(qkv: Tensor, mixed_gradient: Tensor, heads: int, scale: float, *, sums: bool) -> tuple[Tensor, Tensor]:
    qkv, given, sizes = _with_even_tokens(qkv), mixed_gradient.contiguous(), _sizes(qkv, heads, BACKWARD)
    rows, _, triple = qkv.shape
    gradient = torch.empty_like(qkv, memory_format=torch.contiguous_format)
    programs = triton.cdiv(rows, sizes["EACH"])
    added = qkv.new_empty(programs, 2, triple // 3, dtype=torch.float32) if sums else gradient
    wrap_triton(_mix_backward)[(heads * programs,)](qkv, given, gradient, added, rows, scale, SUMS=sums, **sizes)
    return gradient, added


def _with_even_tokens(qkv: Tensor) -> Tensor:
    """The tensor itself where tokens lie evenly through all rows, else a copy in which they do."""
    return qkv if qkv.stride(2) == 1 and qkv.stride(0) == qkv.shape[1] * qkv.stride(1) else qkv.contiguous()


def _sizes(qkv: Tensor, heads: int, how: tuple[int, int, int]) -> dict[str, Any]:
    each, warps, stages = how
    width = qkv.shape[2] // (3 * heads)
    return {
        "stride": qkv.stride(1),  # sizes are constants, so that memory is read in the widest pieces
        "tokens": qkv.shape[1],
        "heads": heads,
        "width": width,
        "TOKENS": max(16, triton.next_power_of_2(qkv.shape[1])),
        "WIDTH": max(16, triton.next_power_of_2(width)),
        "PRODUCTS": "ieee" if qkv.dtype == torch.float32 else "tf32",  # the latter says nothing of 16 bits
        "EACH": each,
        "num_warps": warps,
        "num_stages": stages,
    }


def _remember(ctx: Any, inputs: tuple[Tensor, int, float], output: Tensor) -> None:
    qkv, ctx.heads, ctx.scale = inputs
    ctx.save_for_backward(qkv)


def _gradient(ctx: Any, given: Tensor) -> tuple[Tensor, None, None]:
    return mix_backward(*ctx.saved_tensors, given, ctx.heads, ctx.scale), None, None


mix.register_autograd(_gradient, setup_context=_remember)


@register_flop_formula(torch.ops.mixste.mix)
def _flops(qkv: tuple[int, ...], heads: int, scale: float, **_: object) -> int:
    rows, tokens, triple = qkv
    return 4 * rows * tokens**2 * (triple // 3)
