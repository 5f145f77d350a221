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


@triton.jit
def _place(
    start, row, head,
    tokens: tl.constexpr, stride: tl.constexpr, width: tl.constexpr, TOKENS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    token, column = tl.arange(0, TOKENS)[:, None], tl.arange(0, WIDTH)[None, :]
    return start + (row * tokens + token) * stride + head * width + column, (token < tokens) & (column < width)


@triton.jit
def _loaded(
    qkv, row, head,
    tokens: tl.constexpr, heads: tl.constexpr, stride: tl.constexpr, width: tl.constexpr,
    TOKENS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    place, there = _place(qkv, row, head, tokens, stride, width, TOKENS, WIDTH)
    query, key = tl.load(place, there, 0.0), tl.load(place + heads * width, there, 0.0)
    return query, key, tl.load(place + 2 * heads * width, there, 0.0)


@triton.jit
def _weights(query, key, scale: tl.constexpr, tokens: tl.constexpr, TOKENS: tl.constexpr, PRODUCTS: tl.constexpr):
    scores = tl.dot(query, tl.trans(key), input_precision=PRODUCTS) * scale
    scores = tl.where(tl.arange(0, TOKENS)[None, :] < tokens, scores, float("-inf"))
    powers = tl.exp(scores - tl.max(scores, axis=1)[:, None])
    return powers / tl.sum(powers, axis=1)[:, None]


@triton.jit
def _mix(
    qkv, mixed, scale: tl.constexpr,
    stride: tl.constexpr, tokens: tl.constexpr, heads: tl.constexpr, width: tl.constexpr,
    TOKENS: tl.constexpr, WIDTH: tl.constexpr, PRODUCTS: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    query, key, value = _loaded(qkv, row, head, tokens, heads, stride, width, TOKENS, WIDTH)
    weights = _weights(query, key, scale, tokens, TOKENS, PRODUCTS).to(value.dtype)
    place, there = _place(mixed, row, head, tokens, heads * width, width, TOKENS, WIDTH)
    tl.store(place, tl.dot(weights, value, input_precision=PRODUCTS).to(value.dtype), there)


@triton.jit
def _mix_backward(
    qkv, mixed_gradient, gradient, scale: tl.constexpr,
    stride: tl.constexpr, tokens: tl.constexpr, heads: tl.constexpr, width: tl.constexpr,
    TOKENS: tl.constexpr, WIDTH: tl.constexpr, PRODUCTS: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    query, key, value = _loaded(qkv, row, head, tokens, heads, stride, width, TOKENS, WIDTH)
    place, there = _place(mixed_gradient, row, head, tokens, heads * width, width, TOKENS, WIDTH)
    given = tl.load(place, there, 0.0)
    weights = _weights(query, key, scale, tokens, TOKENS, PRODUCTS)
    by_weight = tl.dot(given, tl.trans(value), input_precision=PRODUCTS)
    by_score = weights * (by_weight - tl.sum(weights * by_weight, axis=1)[:, None]) * scale
    weights, by_score = weights.to(value.dtype), by_score.to(value.dtype)
    place, there = _place(gradient, row, head, tokens, 3 * heads * width, width, TOKENS, WIDTH)
    tl.store(place, tl.dot(by_score, key, input_precision=PRODUCTS).to(value.dtype), there)
    tl.store(place + heads * width, tl.dot(tl.trans(by_score), query, input_precision=PRODUCTS).to(value.dtype), there)
    tl.store(
        place + 2 * heads * width, tl.dot(tl.trans(weights), given, input_precision=PRODUCTS).to(value.dtype), there
    )


@triton_op("mixste::mix", mutates_args=())
def mix(qkv: Tensor, heads: int, scale: float) -> Tensor:
    """Softmax attention among the n <= 32 tokens of every row on a GPU: `r n (3 h d) -> r n (h d)`, d <= 128."""
    qkv = _with_even_tokens(qkv)
    rows, tokens, triple = qkv.shape
    mixed = qkv.new_empty(rows, tokens, triple // 3)
    wrap_triton(_mix)[(rows, heads)](qkv, mixed, scale, **_sizes(qkv, heads))
    return mixed


@triton_op("mixste::mix_backward", mutates_args=())
def mix_backward(qkv: Tensor, mixed_gradient: Tensor, heads: int, scale: float) -> Tensor:
    """The gradient of `mix` by its input, `r n (3 h d)`, from that by its output, `r n (h d)`."""
    qkv, given = _with_even_tokens(qkv), mixed_gradient.contiguous()
    gradient = torch.empty_like(qkv, memory_format=torch.contiguous_format)
    wrap_triton(_mix_backward)[(len(qkv), heads)](qkv, given, gradient, scale, **_sizes(qkv, heads))
    return gradient


def _with_even_tokens(qkv: Tensor) -> Tensor:
    """The tensor itself where tokens lie evenly through all rows, else a copy in which they do."""
    return qkv if qkv.stride(2) == 1 and qkv.stride(0) == qkv.shape[1] * qkv.stride(1) else qkv.contiguous()


def _sizes(qkv: Tensor, heads: int) -> dict[str, int | str]:
    width = qkv.shape[2] // (3 * heads)
    wide = max(16, triton.next_power_of_2(width))
    return {
        "stride": qkv.stride(1),  # sizes are constants, so that memory is read in the widest pieces
        "tokens": qkv.shape[1],
        "heads": heads,
        "width": width,
        "TOKENS": max(16, triton.next_power_of_2(qkv.shape[1])),
        "WIDTH": wide,
        "PRODUCTS": "ieee" if qkv.dtype == torch.float32 else "tf32",  # the latter says nothing of 16 bits
        "num_warps": max(1, wide * qkv.element_size() // 128),  # a row of a head in registers without spills
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
