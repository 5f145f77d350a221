"""Frames a second of several programs, side by side."""

import statistics
import time
from collections.abc import Mapping

from torch import Tensor

from mixste.exporting.parity import Run, random_windows
from mixste.models import PoseModel

ROUNDS = 5
_MACS = 4e9  # multiply-adds of a batch
_MOST = 32  # windows of a batch


def batch(model: PoseModel) -> Tensor:
    """Return whole windows, as many as take a moment."""
    windows = int(_MACS // model.all_macs(model.settings.frames))
    return random_windows(model, max(1, min(_MOST, windows)), model.settings.frames)


def frames_per_second(runs: Mapping[str, Run], keypoints: Tensor, *, rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median of several rounds, in each of which every program lifts the same windows once."""
    frames = {name: _frames(run(keypoints)) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run(keypoints)
            seconds[name].append(time.perf_counter() - start)
    return {name: frames[name] / statistics.median(taken) for name, taken in seconds.items()}


def _frames(joints: Tensor) -> int:
    return joints.shape[0] * joints.shape[1]
