"""Attention alone: ours beside the plain one and torch's own, by turns, forward, and forward and backward.

    python -m benchmarks.attention [--device cuda] [--width 512] [--heads 8] [--tokens 9 17 27 81 243 351]
        [--precisions fp32 bf16] [--all 1377] [--rounds 15] [--json FILE]

What a linear layer gives, `1 r n (3 h d)`, is mixed among n tokens, r so that they are some `--all` together
(a window of 81 frames has 1,377). Milliseconds, medians of the rounds; in bf16 under autocast, as in training.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import chain, product
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from benchmarks.table import Row, tell
from mixste.inference import autocast
from mixste.models.layers import mix

Way = Callable[[Tensor, int, float], Tensor]


def plain(qkv: Tensor, heads: int, scale: float) -> Tensor:
    """Every matrix written out, as in `benchmarks.baseline`."""
    query, key, value = rearrange(qkv, "b r n (three h d) -> three b r h n d", three=3, h=heads)
    return rearrange((query @ key.mT * scale).softmax(dim=-1) @ value, "b r h n d -> b r n (h d)")


def fused(qkv: Tensor, heads: int, scale: float) -> Tensor:
    """What torch chooses."""
    query, key, value = rearrange(qkv, "b r n (three h d) -> three (b r) h n d", three=3, h=heads)
    mixed = functional.scaled_dot_product_attention(query, key, value, scale=scale)
    return rearrange(mixed, "(b r) h n d -> b r n (h d)", b=len(qkv))


WAYS: dict[str, Way] = {"plain": plain, "torch": fused, "ours": mix}


def seconds(way: Way, qkv: Tensor, heads: int, precision: str, *, both: bool) -> float:
    """Seconds of one pass, forward alone or `both` directions."""
    scale = (qkv.shape[-1] // 3 // heads) ** -0.5
    _wait(qkv)
    started = time.perf_counter()
    with torch.set_grad_enabled(both), autocast(qkv.device, precision):
        mixed = way(qkv, heads, scale)
    if both:
        torch.autograd.grad(mixed, qkv, torch.ones_like(mixed))
    _wait(qkv)
    return time.perf_counter() - started


def measure(tokens: int, precision: str, chosen: argparse.Namespace) -> Iterator[Row]:
    """Yield a row of milliseconds for forward, and one for both directions."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    shape = (1, max(1, chosen.all // tokens), tokens, 3 * chosen.width)
    qkv = torch.randn(shape, device=chosen.device).to(kind).requires_grad_()
    for both in (False, True):
        taken: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(chosen.rounds + 1):
            for name, way in WAYS.items():
                taken[name].append(seconds(way, qkv, chosen.heads, precision, both=both))
        medians = {name: round(1000 * statistics.median(each[1:]), 3) for name, each in taken.items()}
        beside = round(min(medians["plain"], medians["torch"]) / medians["ours"], 2)
        direction = "both" if both else "forward"
        yield {"tokens": tokens, "precision": precision, "passes": direction, **medians, "best / ours": beside}


def _wait(values: Tensor) -> None:
    if values.is_cuda:
        torch.cuda.synchronize(values.device)


def main() -> None:
    """Print a Markdown table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", type=torch.device)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--tokens", type=int, nargs="+", default=[9, 17, 27, 81, 243, 351])
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--all", type=int, default=1377, help="tokens of all rows")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    machine = torch.cuda.get_device_name(chosen.device) if chosen.device.type == "cuda" else platform.machine()
    print(
        f"{machine}, torch {torch.__version__}, {torch.get_num_threads()} threads, C={chosen.width}, H={chosen.heads}\n"
    )
    asked = product(chosen.precisions, chosen.tokens)
    tell(chain.from_iterable(measure(tokens, precision, chosen) for precision, tokens in asked), chosen.json)


if __name__ == "__main__":
    main()
