"""What a million frames cost in each stage on one core, on two cores and with two workers, and how workers scale.

    python -m benchmarks.scale [data=cmu ...] [--repeats 10] [--files 2] [--figure FILE] [--stages train ...]

Every worker is a process held to its cores, with as much work as one alone has (weak scaling: twice the workers, twice
the work). Best of the repeats. The work is what a stage's task does, without Ray; training is the stage's own loop in
one or two processes, its batch as many times larger; two workers of evaluate, which is one process, are two of them.
Overrides go to `conf/` as in `make params`, after model=small.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from omegaconf import OmegaConf

from benchmarks.scale_stages import STAGES, Place, Worker, make_place, work
from mixste.settings.typed import build
from pipelines.data import provide
from pipelines.params import Params
from pipelines.settings.composing import compose

MILLION = 1e6
CONDITIONS = {"one core": (1, 1), "two cores": (1, 2), "two workers": (2, 1)}  # workers, cores of each
HEADER = (
    "| stage | one core | one process, two cores | two workers of a core | weak scaling | memory peak of a worker |\n"
    "|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Measured:
    """Frames that all workers made, seconds of the slowest, CPU seconds of all, the largest peak of memory, GiB."""

    frames: int
    seconds: float
    cpu: float
    memory: float

    @classmethod
    def best(cls, repeats: Sequence[Sequence[tuple[int, float, float, float]]]) -> "Measured":
        """The least seconds, and the least CPU seconds, of repeats: (frames, seconds, CPU, memory) of each worker."""
        runs = [tuple(zip(*workers, strict=True)) for workers in repeats]
        return cls(
            frames=sum(runs[0][0]),
            seconds=min(max(seconds) for _, seconds, _, _ in runs),
            cpu=min(sum(cpu) for _, _, cpu, _ in runs),
            memory=max(max(memory) for _, _, _, memory in runs),
        )

    @property
    def cost(self) -> str:
        """CPU seconds, and seconds by the clock, a million frames."""
        return f"{self.cpu / self.frames * MILLION:,.1f} ({self.seconds / self.frames * MILLION:,.1f} by the clock)"


def weak_scaling(alone: Measured, together: Measured) -> float:
    """CPU seconds a frame of a worker alone over those of two side by side; 1: they are not in each other's way.

    On a machine that other jobs share, too; what workers wait for each other is only in the seconds by the clock.
    """
    return (alone.cpu / alone.frames) / (together.cpu / together.frames)


def row(stage: str, by: Mapping[str, Measured]) -> str:
    """Return the Markdown row of a stage: seconds a million frames by condition."""
    alone, together = by["one core"], by["two workers"]
    costs = " | ".join(by[name].cost for name in CONDITIONS)
    scaling = f"{weak_scaling(alone, together):.0%} ({alone.seconds / together.seconds:.0%} by the clock)"
    return f"| {stage} | {costs} | {scaling} | {max(one.memory for one in by.values()):.2f} GiB |"


def measure(stage: str, place: Place, workers: int, cores: int, repeats: int) -> Measured:
    """Run a stage's work in `workers` processes of `cores` cores each; the best of the repeats."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.scale_stages"])
    barrier, results = context.Barrier(workers), context.Queue()
    available = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=place.folder) as name:
        for rank in range(workers):
            worker = Worker(place, rank, workers, Path(name) / str(rank))
            own = {*available[rank * cores : (rank + 1) * cores]}
            context.Process(target=work, args=(stage, worker, own, repeats, barrier, results), daemon=True).start()
        rows = [results.get(timeout=600) for _ in range(workers * repeats)]
    return Measured.best([[figures for number, *figures in rows if number == repeat] for repeat in range(repeats)])


def main() -> None:
    """Print a Markdown table, and draw the figure if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--files", type=int, default=2)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    chosen, overrides = parser.parse_known_args()
    params = build(Params, OmegaConf.to_container(compose(["model=small", *overrides]), resolve=True), "conf")
    provide(Path(params.data.folder), synthetic=params.data.synthetic)
    with tempfile.TemporaryDirectory() as name:
        place = make_place(params, Path(name), chosen.files)
        found = {}
        print(HEADER, flush=True)
        for stage in chosen.stages:
            found[stage] = {title: measure(stage, place, *size, chosen.repeats) for title, size in CONDITIONS.items()}
            print(row(stage, found[stage]), flush=True)
    if chosen.figure:
        draw(found, chosen.figure)


def draw(found: Mapping[str, Mapping[str, Measured]], path: Path) -> None:
    """Draw the weak scaling of every stage."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    stages = list(found)
    values = [weak_scaling(found[stage]["one core"], found[stage]["two workers"]) for stage in stages]
    bars = axes.barh(stages, values, color="#4c72b0")
    axes.bar_label(bars, [f"{value:.0%}" for value in values], padding=3)
    axes.axvline(1.0, color="0.4", linestyle="--", linewidth=1)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.25), xlabel="CPU seconds a frame: one worker alone / two side by side")
    axes.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
