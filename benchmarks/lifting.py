"""Lifting against a plain baseline (`benchmarks.baseline`) in the same run, by turns: frames a second by precision.

    python -m benchmarks.lifting [--model base] [--frames 27 81 243] [--precisions fp32 bf16 int8] [--rounds 7]
        [--most 4]
    python -m benchmarks.lifting --start models/finetuned
    python -m benchmarks.lifting --error models/finetuned --data datasets/projections/rig/amc-02.parquet ...

MixSTE with drawn weights and windows, no flip averaging, in a process like that of `mixste lift`: one window at once,
as a clip has it, and as many as `Lifter` takes of a long video, but no more than `--most`. The median of the rounds
counts. `--start MODEL`: instead, what `mixste lift` of one frame takes from the command to its end. `--error MODEL`:
instead, how far each precision moves joints from where fp32 has them, and its MPJPE, mean over the frames of tables of
projections, no flip; bf16 packed as on a CPU that multiplies it, whether this one does or imitates it.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.baseline import PlainMixSTE
from benchmarks.table import Row, tell
from mixste.costs import find
from mixste.exporting.parity import Run, random_windows
from mixste.exporting.speed import frames_per_second
from mixste.inference import fitting_batch, lift, lift_sequences
from mixste.lifter import PRECISIONS
from mixste.machine.memory import keep_freed
from mixste.models import PoseModel, build_model
from mixste.models import packed as packing
from mixste.models.checkpoint import load_model
from mixste.models.packed import packed
from mixste.sequences import read_sequences

CPU = torch.device("cpu")


def runs_of(model: PoseModel, precisions: list[str]) -> dict[str, Run]:
    """Return the baseline and the model in every precision."""
    runs: dict[str, Run] = {"baseline": partial(lift, PlainMixSTE(model).eval())}
    for name in precisions:
        runs[name] = partial(lift, packed(model, name, CPU), precision=name)
    return runs


def measure(name: str, frames: int, precisions: list[str], rounds: int, most: int) -> Iterator[Row]:
    """Yield a row for one window and one for a batch of a long video."""
    settings = replace(find(name)[0], frames=frames)
    torch.manual_seed(0)
    model = build_model(settings, joints=17).eval()
    runs = runs_of(model, precisions)
    for count in sorted({1, min(most, fitting_batch(model, CPU))}):
        found = frames_per_second(runs, random_windows(model, count, frames), rounds=rounds)
        times = {f"{each}, times the baseline": round(found[each] / found["baseline"], 2) for each in precisions}
        rates = {each: round(rate) for each, rate in found.items()}
        yield {"model": name, "T": frames, "windows at once": count, **rates, **times}


def errors(folder: Path, tables: list[Path], precisions: list[str]) -> Iterator[Row]:
    """Yield a row for each precision, in millimetres."""
    has_products = packing.has_products  # what this CPU lacks in bf16 it imitates
    packing.has_products = lambda precision: precision == "bf16" or has_products(precision)
    model, config = load_model(folder)
    data = read_sequences(tables, skeleton=config.skeleton, fps=config.fps)
    root = [data.root]
    exact = None
    for name in ["fp32", *(each for each in precisions if each != "fp32")]:
        joints = lift_sequences(packed(model.eval(), name, CPU), data, flip=None, precision=name)
        joints = joints - joints[:, root]
        exact = joints if exact is None else exact
        moved, off = (
            1000 * (joints - other).norm(dim=-1).mean().item() for other in (exact, data.joints - data.joints[:, root])
        )
        yield {"precision": name, "joints moved, mm": round(moved, 2), "MPJPE, mm": round(off, 2)}


def start(model: Path, rounds: int) -> float:
    """Return the median of the seconds that lifting one frame takes on the command line."""
    with TemporaryDirectory() as folder:
        given, out = Path(folder) / "one.npz", Path(folder) / "one.csv"
        np.savez(given, keypoints=np.random.default_rng(0).uniform(100, 900, (1, 17, 2)))
        options = ["--skeleton", "coco17", "--fps", "30", "--image-size", "1000x1000"]
        command = [sys.executable, "-m", "mixste.cli", "lift", given, "-o", out, "--model", model, *options]
        taken = []
        for _ in range(rounds):
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Print a Markdown table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--frames", type=int, nargs="+", default=[27, 81, 243])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["fp32", "int8"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--most", type=int, default=64)
    parser.add_argument("--start", type=Path, metavar="MODEL")
    parser.add_argument("--error", type=Path, metavar="MODEL")
    parser.add_argument("--data", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    if chosen.start:
        print(f"mixste lift, one frame: {start(chosen.start, chosen.rounds):.2f} s")
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}\n")
    keep_freed()
    if chosen.error:
        found = errors(chosen.error, chosen.data, chosen.precisions)
    else:
        found = chain.from_iterable(
            measure(chosen.model, frames, chosen.precisions, chosen.rounds, chosen.most) for frames in chosen.frames
        )
    tell(found, chosen.json)


if __name__ == "__main__":
    main()
