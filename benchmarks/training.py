"""Training steps against a plain baseline (`benchmarks.baseline`) in the same run, by turns: windows a second and MFU.

    python -m benchmarks.training [--model base] [--frames 243] [--device cuda] [--batch 32] [--baseline-batch 16]
        [--steps 8] [--repeats 5] [--variants bf16 compiled ...] [--json FILE]

Variants: fp32, bf16, fused (fp32, compiled), compiled (bf16), recompute (bf16, compiled); where MixSTE's blocks have
kernels of their own, on a GPU in bf16 and on a CPU, compiling changes nothing. Each repeat takes so many steps
of each in turn; the median counts, without the validation that ends an epoch of ours. The objective is that of
pre-training: windows are drawn, mirrored and corrupted in the step, in a process like a worker's. The baseline computes
in fp32, on a GPU with TF32 products. Nothing of Ray or DVC is needed.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.baseline import PlainMixSTE, train
from mixste.costs import find
from mixste.machine.hardware import peak_flops
from mixste.machine.memory import GIB, keep_freed
from mixste.models import build_model
from mixste.recipe import CorruptionSettings, Execution, LiftLoss, ModelSettings, OptimiserSettings, PretrainSettings
from mixste.sequences import Sequences
from mixste.skeleton import load_skeleton
from mixste.training import Trainer
from mixste.training.objectives import Lift

SKELETON, FPS, CLIPS = load_skeleton("h36m17"), 50.0, 64
VARIANTS = {
    "fp32": {"precision": "fp32"},
    "bf16": {"precision": "bf16"},
    "fused": {"precision": "fp32", "execution": Execution(compile=True)},
    "compiled": {"precision": "bf16", "execution": Execution(compile=True)},
    "recompute": {"precision": "bf16", "execution": Execution(compile=True, recompute=True)},
}
CORRUPTION = CorruptionSettings(noise=1.0, joint_mask=0.05, frame_mask=0.1)
OBJECTIVE = Lift(CORRUPTION, LiftLoss(n_mpjpe=0.5, velocity=20.0), joints=load_skeleton("h36m17").joints)


@dataclass
class Measured:
    """Seconds of each repeat, the most memory of one, GiB, and what the first, which also compiles, took."""

    name: str
    precision: str
    batch: int
    steps: int
    first: float = 0.0
    seconds: list[float] = field(default_factory=list)
    memory: float = 0.0

    @property
    def rate(self) -> float:
        """Windows a second."""
        return self.batch * self.steps / statistics.median(self.seconds)


def motion(frames: int) -> Sequences:
    """Clips of random smooth motion, twice as long as a window each."""
    length = 2 * frames
    joints = torch.randn(CLIPS * length, 17, 3).cumsum(0) / 100 + torch.tensor([0.0, 0.0, 4.0])
    keypoints = torch.cat([torch.randn(CLIPS * length, 17, 2) / 4, torch.ones(CLIPS * length, 17, 1)], dim=-1)
    names = tuple(map(str, range(CLIPS)))
    return Sequences(
        keypoints, joints, torch.arange(CLIPS + 1) * length, names, names, names, names, SKELETON.name, FPS
    )


def settings(batch: int, steps: int, epochs: int) -> PretrainSettings:
    """Pre-training whose epochs are the repeats."""
    optimiser = OptimiserSettings(
        name="adamw", lr=1e-4, weight_decay=0.01, amsgrad=False, warmup=0.0, schedule="constant", decay=1.0, clip=1.0,
        output_share=1.0,
    )  # fmt: skip
    return PretrainSettings(
        objective="lift", views="random", corruption=OBJECTIVE.corruption, loss=OBJECTIVE.settings, masks=None,
        optimiser=optimiser, epochs=epochs, windows_per_epoch=batch * steps, batch_size=batch, stride=9, place="inside",
        flip="half", keep="last", validation_windows=1,
    )  # fmt: skip


def trainer(model: ModelSettings, data: Sequences, batch: int, steps: int, **changes: Any) -> Trainer:
    """The library's own loop."""
    torch.manual_seed(0)
    network, every = build_model(model, joints=17), settings(batch, steps, 1 << 30)
    return Trainer(network, OBJECTIVE, data, data.select([0]), every, flip=SKELETON.flip, seed=0, **changes)


def own_steps(own: Trainer) -> Iterator[float]:
    """Seconds of an epoch's steps each time it is asked."""
    for record in own.epochs():
        yield own.steps_per_epoch * record["step_seconds"]


def plain_steps(own: Trainer) -> Iterator[float]:
    """Seconds of as many steps of the baseline, with the same weights and data."""
    stepping = train(PlainMixSTE(own.model).to(own.device), OBJECTIVE, own.batches, 1e-4)
    while True:
        started = time.perf_counter()
        for _ in range(own.steps_per_epoch):
            next(stepping)
        if own.device.type == "cuda":
            torch.cuda.synchronize(own.device)
        yield time.perf_counter() - started


def repeated(measured: Measured, epochs: Iterator[float], device: torch.device) -> None:
    """Take one repeat's steps and note what they took."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    torch.backends.cuda.matmul.allow_tf32 = measured.name == "baseline"
    took = next(epochs)
    if device.type == "cuda":
        measured.memory = max(measured.memory, torch.cuda.max_memory_allocated(device) / GIB)
    if measured.first:
        measured.seconds.append(took)
    measured.first = measured.first or took
    print(f"{measured.name}: {measured.batch * measured.steps} windows in {took:.2f} s", file=sys.stderr, flush=True)


def report(all_measured: list[Measured], device: torch.device, macs: int) -> list[dict[str, object]]:
    """Print the table; its rows, for JSON."""
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    print(f"{machine}, torch {torch.__version__}, {6 * macs / 1e9:,.1f} GFLOP a window\n")
    print("| | batch | windows/s | times the baseline | TFLOP/s | MFU | GiB at the peak | first repeat, s |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for each in all_measured:
        flops = each.rate * 6 * macs
        peak = peak_flops(device, each.precision)
        row = {
            "name": each.name, "batch": each.batch, "windows_per_second": each.rate,
            "times_baseline": each.rate / all_measured[0].rate, "tflops": flops / 1e12,
            "mfu": flops / peak if peak else None, "memory_gib": each.memory, "first_seconds": each.first,
            "seconds": each.seconds,
        }  # fmt: skip
        rows.append(row)
        mfu = f"{row['mfu']:.0%}" if peak else ""
        memory = f"{each.memory:.1f}" if each.memory else ""
        print(
            f"| {each.name} | {each.batch} | {each.rate:.3g} | {row['times_baseline']:.2f} | {flops / 1e12:,.1f} "
            f"| {mfu} | {memory} | {each.first:.1f} |"
        )
    return rows


def main() -> None:
    """Measure, print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--frames", type=int, default=243)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", type=torch.device)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--baseline-batch", type=int)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["fp32", "bf16", "compiled"])
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    keep_freed()
    model = replace(find(chosen.model)[0], frames=chosen.frames)
    data, device, steps = motion(chosen.frames), chosen.device, chosen.steps
    batch = chosen.baseline_batch or chosen.batch
    baseline = plain_steps(trainer(model, data, batch, steps, device=device, precision="fp32"))
    runs = [(Measured("baseline", "fp32", batch, steps), baseline)]
    for name in chosen.variants:
        own = trainer(model, data, chosen.batch, steps, device=device, **VARIANTS[name])
        runs.append((Measured(name, str(VARIANTS[name]["precision"]), chosen.batch, steps), own_steps(own)))
    for _ in range(chosen.repeats + 1):
        for measured, epochs in runs:
            repeated(measured, epochs, device)
    macs = build_model(model, joints=17).all_macs(model.frames)
    rows = report([measured for measured, _ in runs], device, macs)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
