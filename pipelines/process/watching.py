"""What work takes: frames a second, seconds, of them those spent waiting for data, and the memory's peak.

They go to the terminal and to MLflow, never into a stage's outputs, which must be the same bytes every time.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from mixste.machine.memory import memory_peak_gib

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
log = logging.getLogger(__name__)


@dataclass
class Watch:
    """What some steps of a stage (tasks, batches) took for how many frames and windows.

    Seconds, those of them that were spent waiting for data, and the most memory that their process held.
    """

    steps: int = 1
    frames: int = 0
    windows: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0
    memory_peak_gib: float = 0.0

    def reading(self, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        """Return the function with its time counted as waiting for data."""

        def timed(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.data_seconds += time.perf_counter() - started

        return timed

    def waiting(self, items: Iterable[Result]) -> Iterator[Result]:
        """Yield the items, with the time until each one comes counted as waiting for data."""
        take = self.reading(iter(items).__next__)
        while True:
            try:
                item = take()
            except StopIteration:
                return
            yield item


@contextmanager
def watch() -> Iterator[Watch]:
    """Watch a block: its seconds, and its process's peak of memory since the last reset, are known once it ended."""
    own, started = Watch(), time.perf_counter()
    yield own
    own.seconds = time.perf_counter() - started
    own.memory_peak_gib = memory_peak_gib()


def figures(watches: Sequence[Watch], seconds: float) -> dict[str, float]:
    """Return what a stage's steps took together; `seconds` is what the stage took for all, side by side or not.

    Frames (and windows, where there are any) a second; the means of a step's seconds and of those that it waited for
    data; the largest peak of a process's memory.
    """

    def total(name: str) -> float:
        return sum(getattr(watch, name) for watch in watches)

    rates = {f"{name}_per_second": total(name) / seconds for name in ("frames", "windows") if total(name)}
    steps = max(1, total("steps"))
    return {
        "frames": total("frames"),
        "seconds": seconds,
        **rates,
        **{f"{name}_seconds": total(key) / steps for name, key in (("step", "seconds"), ("data", "data_seconds"))},
        "memory_peak_gib": max((watch.memory_peak_gib for watch in watches), default=0.0),
    }


def tell(title: str, step: str, found: dict[str, float]) -> None:
    """Log one line of a stage's figures; `step` is what its steps are called."""
    log.info(
        "%s: %d frames in %.1f s, %.0f frames/s; a %s took %.3g s, %.2g s of it waiting for data; memory peak %.2f GiB",
        *(title, found["frames"], found["seconds"], found.get("frames_per_second", 0.0)),
        *(step, found["step_seconds"], found["data_seconds"], found["memory_peak_gib"]),
    )
