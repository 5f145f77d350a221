"""The kernels of a block on a GPU, one by one: milliseconds and bytes a second, forward and backward.

    python -m benchmarks.kernels [--batch 64] [--frames 243] [--joints 17] [--width 512] [--heads 8] [--json FILE]

Bytes are those that a kernel must read and write, each once; `copy` is what the GPU moves. Medians, with a cache that
holds nothing of the kernel's. A CUDA device is needed, and Triton.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from triton.testing import do_bench

from benchmarks.table import Row, tell
from mixste.models.kernels import fused
from mixste.models.kernels.triton_attention import mix
from mixste.models.layers import attend

Outputs = tuple[Tensor, ...]


def timed(work: Callable[[], object], size: int, units: int) -> tuple[float, float | str]:
    """Milliseconds of a pass, and its TB/s if it moves `units` tensors of `size` 16-bit numbers."""
    took = do_bench(work, warmup=5, rep=20, return_mode="median")
    return round(took, 3), round(2 * size * units / took / 1e9, 2) if units else ""


def measured(name: str, work: Callable[[], Outputs], inputs: Outputs, size: int, units: tuple[int, int]) -> Row:
    """A row of what gives differentiable tensors from `inputs`."""
    with torch.autocast("cuda", torch.bfloat16):
        outputs = [each for each in work() if each.requires_grad and each.grad_fn is not None]
        given = [torch.randn_like(each) for each in outputs]
        with torch.no_grad():
            forward, rate = timed(work, size, units[0])

    def back() -> None:
        torch.autograd.grad(outputs, inputs, given, retain_graph=True)

    backward, back_rate = timed(back, size, units[1])
    return {"kernel": name, "forward, ms": forward, "TB/s": rate, "backward, ms": backward, "TB/s, backward": back_rate}


def rows(batch: int, frames: int, joints: int, width: int, heads: int) -> Iterator[Row]:
    """Yield a row for each; of attention among frames bytes say nothing."""

    def draw(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        return torch.randn(*shape, device="cuda", dtype=dtype, requires_grad=True)

    x, bias = draw(batch, frames, joints, width, dtype=torch.float32), draw(width, dtype=torch.float32)
    branch, turned = draw(batch, frames, joints, width), draw(batch, joints, frames, width)
    hidden, hidden_bias = draw(batch, frames, joints, 2 * width), draw(2 * width, dtype=torch.float32)
    in_frames, tracks = draw(batch * frames, joints, 3 * width), draw(batch * joints, frames, 3 * width)
    tracks_bias = draw(3 * width, dtype=torch.float32)
    last, first = (nn.LayerNorm(width, eps=1e-6, device="cuda") for _ in range(2))
    pending, scale, size = fused.Pending(x, branch, bias, None, last, False), (width // heads) ** -0.5, x.numel()
    copied, rate = timed(lambda: torch.empty_like(x).copy_(x.detach()), size, 4)
    yield {"kernel": "copy", "forward, ms": copied, "TB/s": rate, "backward, ms": "", "TB/s, backward": ""}
    kernels: list[tuple[str, Callable[[], Outputs], Outputs, tuple[int, int]]] = [
        ("norm", lambda: fused.enter(x, first, turned=True), (x,), (3, 7)),
        ("sum, norm, norm", lambda: fused.enter(pending, first, turned=True), (x, branch, bias), (6, 9)),
        (
            "sum, norm",
            lambda: fused.add_norm(x, turned, bias, None, first, by_joint=True, turned=True),
            (x, turned, bias),
            (6, 8),
        ),
        ("sum and its norm", lambda: (fused.settled(pending),), (x, branch, bias), (5, 8)),
        ("GELU", lambda: (fused.gelu(hidden, hidden_bias),), (hidden, hidden_bias), (4, 6)),
        ("among joints", lambda: (mix(in_frames, heads, scale),), (in_frames,), (4, 7)),
        ("split", lambda: fused.split(tracks, tracks_bias, heads), (tracks, tracks_bias), (0, 6)),
        (
            "among frames, split",
            lambda: (attend(*fused.split(tracks, tracks_bias, heads), scale),),
            (tracks, tracks_bias),
            (0, 0),
        ),
    ]
    for name, work, inputs, units in kernels:
        yield measured(name, work, inputs, size, units)


def main() -> None:
    """Print a Markdown table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--frames", type=int, default=243)
    parser.add_argument("--joints", type=int, default=17)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    tell(rows(chosen.batch, chosen.frames, chosen.joints, chosen.width, chosen.heads), chosen.json)


if __name__ == "__main__":
    main()
