"""Attention within rows of up to 256 tokens on a GPU: one fused Triton kernel a direction.

A program holds all keys and values of a row and a head: the softmax is whole, the backward pass needs nothing but the
input and adds up nothing across programs, and queries, keys and values are read where the linear layer left them.
Library kernels fill a fiftieth of their tiles with the 17 joints of a body.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.library import triton_op, wrap_triton
from torch.utils.flop_counter import register_flop_formula

FEW = 32
LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _place(
    start, row, head, first,
    tokens: tl.constexpr, stride: tl.constexpr, width: tl.constexpr, COUNT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    token, column = first + tl.arange(0, COUNT)[:, None], tl.arange(0, WIDTH)[None, :]
    return start + (row * tokens + token) * stride + head * width + column, (token < tokens) & (column < width)


@triton.jit
def _mix(
    qkv, mixed, scale,
    stride: tl.constexpr, tokens: tl.constexpr, heads: tl.constexpr, width: tl.constexpr,
    TOKENS: tl.constexpr, QUERIES: tl.constexpr, WIDTH: tl.constexpr, PRODUCTS: tl.constexpr,
):  # fmt: skip
    row, head, first = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2) * QUERIES
    place, there = _place(qkv, row, head, first, tokens, stride, width, QUERIES, WIDTH)
    query = tl.load(place, there, 0.0)
    place, there = _place(qkv, row, head, 0, tokens, stride, width, TOKENS, WIDTH)
    key, value = tl.load(place + heads * width, there, 0.0), tl.load(place + 2 * heads * width, there, 0.0)
    scores = tl.dot(query, tl.trans(key), input_precision=PRODUCTS) * (scale * LOG2_E)
    scores = tl.where(tl.arange(0, TOKENS)[None, :] < tokens, scores, float("-inf"))
    powers = tl.exp2(scores - tl.max(scores, axis=1)[:, None])
    sums = tl.dot(powers.to(value.dtype), value, input_precision=PRODUCTS)
    place, there = _place(mixed, row, head, first, tokens, heads * width, width, QUERIES, WIDTH)
    tl.store(place, (sums / tl.sum(powers, axis=1)[:, None]).to(value.dtype), there)


@triton.jit
def _mix_backward(
    qkv, mixed_gradient, gradient, scale,
    stride: tl.constexpr, tokens: tl.constexpr, heads: tl.constexpr, width: tl.constexpr,
    TOKENS: tl.constexpr, QUERIES: tl.constexpr, WIDTH: tl.constexpr, PRODUCTS: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    keys, known = _place(qkv, row, head, 0, tokens, stride, width, TOKENS, WIDTH)
    key, value = tl.load(keys + heads * width, known, 0.0), tl.load(keys + 2 * heads * width, known, 0.0)
    by_key, by_value = tl.zeros((TOKENS, WIDTH), tl.float32), tl.zeros((TOKENS, WIDTH), tl.float32)
    for first in range(0, TOKENS, QUERIES):
        place, there = _place(qkv, row, head, first, tokens, stride, width, QUERIES, WIDTH)
        query = tl.load(place, there, 0.0)
        place, there = _place(mixed_gradient, row, head, first, tokens, heads * width, width, QUERIES, WIDTH)
        given = tl.load(place, there, 0.0)
        # keys by queries: so all five products have enough rows for the widest instructions
        scores = tl.dot(key, tl.trans(query), input_precision=PRODUCTS) * (scale * LOG2_E)
        scores = tl.where(tl.arange(0, TOKENS)[:, None] < tokens, scores, float("-inf"))
        powers = tl.exp2(scores - tl.max(scores, axis=0)[None, :])
        weights = powers / tl.sum(powers, axis=0)[None, :]
        by_weight = tl.dot(value, tl.trans(given), input_precision=PRODUCTS)
        by_score = weights * (by_weight - tl.sum(weights * by_weight, axis=0)[None, :]) * scale
        weights, by_score = weights.to(value.dtype), by_score.to(value.dtype)
        by_value = tl.dot(weights, given, by_value, input_precision=PRODUCTS)
        by_key = tl.dot(by_score, query, by_key, input_precision=PRODUCTS)
        by_query = tl.dot(tl.trans(by_score), key, input_precision=PRODUCTS)
        place, there = _place(gradient, row, head, first, tokens, 3 * heads * width, width, QUERIES, WIDTH)
        tl.store(place, by_query.to(value.dtype), there)
    keys, known = _place(gradient, row, head, 0, tokens, 3 * heads * width, width, TOKENS, WIDTH)
    tl.store(keys + heads * width, by_key.to(value.dtype), known)
    tl.store(keys + 2 * heads * width, by_value.to(value.dtype), known)


@torch.compiler.assume_constant_result
def _multiplies_widely() -> bool:
    """Whether the GPU has the registers, memory and instructions that long rows were measured with (Hopper)."""
    return torch.cuda.get_device_capability() >= (9, 0)


def fits(qkv: Tensor, heads: int) -> bool:
    """Whether these kernels are for rows `... n (3 h d)`: of few tokens, or of more in 16 bits on a GPU made for it."""
    tokens, width = qkv.shape[-2], qkv.shape[-1] // (3 * heads)
    if tokens <= FEW:
        return width <= 128 and qkv.dtype != torch.float64
    return tokens <= 256 and width <= 64 and qkv.dtype.itemsize == 2 and _multiplies_widely()


@triton_op("mixste::mix", mutates_args=())
def mix(qkv: Tensor, heads: int, scale: float) -> Tensor:
    """Softmax attention among the n tokens of every row on a GPU: `r n (3 h d) -> r n (h d)`, where that `fits`."""
    qkv = _with_even_tokens(qkv)
    rows, tokens, triple = qkv.shape
    mixed = qkv.new_empty(rows, tokens, triple // 3)
    queries, warps = (FEW, 2) if tokens <= FEW else (64, 4)
    wrap_triton(_mix)[(rows, heads, triton.cdiv(tokens, queries))](
        qkv, mixed, scale, **_sizes(qkv, heads, queries), num_warps=warps
    )
    return mixed


@triton_op("mixste::mix_backward", mutates_args=())
def mix_backward(qkv: Tensor, mixed_gradient: Tensor, heads: int, scale: float) -> Tensor:
    """The gradient of `mix` by its input, `r n (3 h d)`, from that by its output, `r n (h d)`."""
    qkv, given = _with_even_tokens(qkv), mixed_gradient.contiguous()
    gradient = torch.empty_like(qkv, memory_format=torch.contiguous_format)
    sizes = _sizes(qkv, heads, FEW)
    warps = max(2, int(sizes["TOKENS"]) // 32)
    wrap_triton(_mix_backward)[(len(qkv), heads)](qkv, given, gradient, scale, **sizes, num_warps=warps, num_stages=1)
    return gradient


def _with_even_tokens(qkv: Tensor) -> Tensor:
    """The tensor itself where tokens lie evenly through all rows, else a copy in which they do."""
    return qkv if qkv.stride(2) == 1 and qkv.stride(0) == qkv.shape[1] * qkv.stride(1) else qkv.contiguous()


def _sizes(qkv: Tensor, heads: int, queries: int) -> dict[str, int | str]:
    width = qkv.shape[2] // (3 * heads)
    tokens = max(16, triton.next_power_of_2(qkv.shape[1]))
    return {
        "stride": qkv.stride(1),  # sizes are constants, so that memory is read in the widest pieces
        "tokens": qkv.shape[1],
        "heads": heads,
        "width": width,
        "TOKENS": tokens,
        "QUERIES": min(queries, tokens),
        "WIDTH": max(16, triton.next_power_of_2(width)),
        "PRODUCTS": "ieee" if qkv.dtype == torch.float32 else "tf32",  # the latter says nothing of 16 bits
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
