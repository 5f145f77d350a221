"""What `benchmarks.growth` gives a model to do, on one thread; each returns seconds and the peak of memory, GiB."""

import statistics
import time
from collections.abc import Iterator

import torch

from benchmarks.training import motion, trainer
from mixste.inference import lift
from mixste.machine.memory import memory_peak_gib
from mixste.models import build_model
from mixste.recipe import ModelSettings

BATCH, STEPS = 4, 2


def trained(model: ModelSettings, repeats: int) -> tuple[float, float]:
    """Take training steps; the seconds of one."""
    torch.set_num_threads(1)
    own = trainer(model, motion(model.frames), BATCH, STEPS, device=torch.device("cpu"), precision="fp32")
    return median(own.epochs(), repeats) / STEPS, memory_peak_gib()


def lifted(model: ModelSettings, repeats: int) -> tuple[float, float]:
    """Lift a batch of windows."""
    torch.set_num_threads(1)
    network = build_model(model, joints=17).eval()
    keypoints = torch.randn(BATCH, model.frames, 17, model.channels)
    return median((lift(network, keypoints) for _ in range(repeats + 1)), repeats), memory_peak_gib()


def median(work: Iterator[object], repeats: int) -> float:
    """Seconds of one of the repeats, after one to warm up."""
    taken = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        next(work)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])
