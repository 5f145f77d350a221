"""Time and memory as the work grows: trials of a subject, frames of a window (T), width of the network (C).

    python -m benchmarks.growth [data=cmu ...] [--subject NAME] [--times 1 10 100] [--frames 27 81 243]
        [--widths 32 64 128 256] [--repeats 5] [--figure FILE] [--json FILE]

Trials are a subject's own, several times under several names: the tasks of prepare and project. T and C are those of a
training step and of lifting, for the rest as `model` says, batches of 4. Each size runs in a process of its own, whose
peak of memory it is; medians of the repeats. The exponent is that of the largest size against the one before: 1 is
linear. Overrides go to `conf/` as in `make params`.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mixste.cameras import load_rig
from mixste.recipe import ModelSettings
from mixste.settings.typed import build
from pipelines.data import provide
from pipelines.params import Params
from pipelines.settings.composing import compose
from pipelines.tasks.captured import Subject, find_subjects, prepare_subject
from pipelines.tasks.projected import Task, project_file

HEADER = "| what | of | size | seconds | exponent | peak, MiB |\n|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Measured:
    """One size of one thing: seconds of it, and the most memory of its process, GiB."""

    what: str
    of: str
    size: int
    seconds: float
    memory: float


def apart(function: Callable[..., Any], *given: object) -> Any:
    """Call a function in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function, given)


def of_trials(subject: Subject, times: Sequence[int], params: Params, folder: Path) -> Iterator[Measured]:
    """Prepare and project a subject whose trials are there several times."""
    rig, data = load_rig(params.project.rig.cameras), params.data
    for count in times:
        trials = tuple(replace(trial, name=f"{trial.name}x{n}") for n in range(count) for trial in subject.trials)
        larger = replace(subject, trials=trials, path=folder / f"{subject.source.name}-{count}.parquet")
        task = Task(larger.path, ("random", "rig"), folder, data.skeleton, data.fps, params.project, rig, params.seed)
        for kind in task.kinds:
            (folder / kind).mkdir(exist_ok=True)
        for stage, function, item in (("prepare", prepare_subject, larger), ("project", project_file, task)):
            watch = apart(function, item)[1]
            yield Measured("trials", stage, len(trials), watch.seconds, watch.memory_peak_gib)


def of_sizes(what: str, models: Sequence[tuple[int, ModelSettings]], repeats: int) -> Iterator[Measured]:
    """Train and lift with models of several sizes."""
    from benchmarks.growth_models import lifted, trained  # not above: tasks of prepare have no torch

    for size, model in models:
        yield Measured(what, "training step", size, *apart(trained, model, repeats))
        yield Measured(what, "lifting", size, *apart(lifted, model, repeats))


def exponent(one: Measured, before: Measured | None) -> str:
    """With what power of the size the seconds grew since the size before; nothing for the first."""
    if before is None:
        return ""
    return f"{math.log(one.seconds / before.seconds) / math.log(one.size / before.size):.2f}"


def main() -> None:
    """Print a table, a row for each size; draw the figure and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject")
    parser.add_argument("--times", type=int, nargs="*", default=[1, 10, 100])
    parser.add_argument("--frames", type=int, nargs="*", default=[27, 81, 243])
    parser.add_argument("--widths", type=int, nargs="*", default=[32, 64, 128, 256])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--json", type=Path)
    chosen, overrides = parser.parse_known_args()
    params = build(Params, OmegaConf.to_container(compose(overrides), resolve=True), "conf")
    provide(Path(params.data.folder), synthetic=params.data.synthetic)
    found: list[Measured] = []
    print(HEADER)
    with tempfile.TemporaryDirectory() as name:
        for one in everything(chosen, params, Path(name)):
            before = next((old for old in reversed(found) if (old.what, old.of) == (one.what, one.of)), None)
            print(
                f"| {one.what} | {one.of} | {one.size:,} | {one.seconds:.3g} | {exponent(one, before)} "
                f"| {1024 * one.memory:,.0f} |",
                flush=True,
            )
            found.append(one)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")
    if chosen.figure:
        draw(found, chosen.figure)


def everything(chosen: argparse.Namespace, params: Params, folder: Path) -> Iterator[Measured]:
    """Measure all that was asked for."""
    subjects = find_subjects(params.data, folder)
    subject = next(one for one in subjects if chosen.subject in (None, one.trials[0].subject))
    yield from of_trials(subject, chosen.times, params, folder)
    model = params.model
    yield from of_sizes("T", [(size, replace(model, frames=size)) for size in chosen.frames], chosen.repeats)
    yield from of_sizes("C", [(size, replace(model, width=size)) for size in chosen.widths], chosen.repeats)


def draw(found: Sequence[Measured], path: Path) -> None:
    """Draw seconds and memory against each size; the grey line is linear growth."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    whats = list(dict.fromkeys(one.what for one in found))
    figure, axes = plt.subplots(2, len(whats), figsize=(3.2 * len(whats), 5), layout="constrained", squeeze=False)
    for what, (above, below) in zip(whats, axes.T, strict=True):
        for of in dict.fromkeys(one.of for one in found if one.what == what):
            own = [one for one in found if (one.what, one.of) == (what, of)]
            sizes = [one.size for one in own]
            above.plot(sizes, [one.seconds for one in own], marker="o", label=of)
            above.plot(sizes, [own[0].seconds * size / sizes[0] for size in sizes], color="0.7", zorder=0)
            below.plot(sizes, [1024 * one.memory for one in own], marker="o")
        above.set(xscale="log", yscale="log", ylabel="seconds")
        above.legend(frameon=False)
        below.set(xscale="log", ylim=(0, None), xlabel=what, ylabel="peak of memory, MiB")
        for axis in (above, below):
            axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
            axis.minorticks_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
