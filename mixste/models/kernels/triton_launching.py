"""How a GPU's programs share the work of `triton_norms`: what `fused` asks of it."""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import triton
from torch import Tensor

from mixste.models.kernels import triton_norms

if TYPE_CHECKING:
    from mixste.models.kernels.fused import How

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


def norm(
    x: Tensor, branch: Tensor | None, bias: Tensor | None, kept: Tensor | None, weight: Tensor, shift: Tensor,
    next_weight: Tensor | None, next_shift: Tensor | None, total: Tensor | None, out: Tensor, how: "How",
) -> None:  # fmt: skip
    """A norm, into `total` and `out`."""
    sizes = _norm_sizes(x, branch, kept, next_weight, how, NORM)
    grid = (triton.cdiv(_tokens(x), sizes["ROWS"]),)
    triton_norms.norm[grid](
        x, branch, bias, kept, weight, shift, next_weight, next_shift, total, out, _tokens(x), **sizes
    )


def norm_backward(
    x: Tensor, branch: Tensor | None, bias: Tensor | None, kept: Tensor | None, weight: Tensor, shift: Tensor,
    next_weight: Tensor | None, by_total: Tensor | None, by_out: Tensor, by_x: Tensor, by_branch: Tensor | None,
    how: "How",
) -> Tensor:  # fmt: skip
    """Its gradients, into `by_x` and `by_branch`, and sums, `n programs c`."""
    sizes = _norm_sizes(x, by_branch, kept, next_weight, how, NORM_BACKWARD)
    programs = _programs(x, sizes, NORM_BACKWARD)
    sums = x.new_empty(2 + (by_branch is not None) + 2 * (next_weight is not None), programs, x.shape[-1])
    triton_norms.norm_backward[(programs,)](
        x, branch, bias, kept, weight, shift, next_weight, by_total, by_out, by_x, by_branch, sums, _tokens(x),
        GIVEN=by_total is not None, **sizes,
    )  # fmt: skip
    return sums


def gelu(x: Tensor, bias: Tensor, out: Tensor) -> None:
    """GELU of `x + bias`, into `out`."""
    sizes = _sizes(x, GELU)
    triton_norms.gelu[(triton.cdiv(_tokens(x), sizes["ROWS"]),)](x, bias, out, _tokens(x), **sizes)


def gelu_backward(x: Tensor, bias: Tensor, by_out: Tensor, by_x: Tensor) -> Tensor:
    """Its gradient, into `by_x`, and sums, `programs c`."""
    sizes = _sizes(x, GELU_BACKWARD)
    programs = _programs(x, sizes, GELU_BACKWARD)
    sums = x.new_empty(programs, x.shape[-1], dtype=torch.float32)
    triton_norms.gelu_backward[(programs,)](x, bias, by_out, by_x, sums, _tokens(x), **sizes)
    return sums


def pack(query: Tensor, key: Tensor, value: Tensor, packed: Tensor) -> Tensor:
    """Lay `r n c` side by side, into `packed`, and return sums of the first and the last, `2 programs c`."""
    sizes = _sizes(query, PACK)
    programs = _programs(query, sizes, PACK)
    sums = query.new_empty(2, programs, query.shape[-1], dtype=torch.float32)
    triton_norms.pack[(programs,)](query, key, value, packed, sums, _tokens(query), **sizes)
    return sums


def _norm_sizes(
    x: Tensor, branch: Tensor | None, kept: Tensor | None, next_weight: Tensor | None, how: "How", tile: Tile
) -> dict[str, Any]:
    return _sizes(x, tile) | {
        "frames": x.shape[1],
        "joints": x.shape[2],
        "eps": how.eps,
        "next_eps": how.next_eps,
        "ADDS": branch is not None,
        "DROPS": kept is not None,
        "BY_JOINT": how.by_joint,
        "SUM": how.sum,
        "TWICE": next_weight is not None,
        "TURNED_BRANCH": how.turned_branch,
        "TURNED": how.turned,
    }


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
