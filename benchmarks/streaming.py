"""Peak memory of one task of prepare and of one of project as a subject grows: its trials once, 4 and 16 times.

    python -m benchmarks.streaming [data=cmu ...] [--subject NAME] [--times 1 4 16]

Each task runs in a process of its own. What stands before the options goes to `conf/` as in `make params`.
"""

import argparse
import tempfile
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from omegaconf import OmegaConf

from mixste.cameras import load_rig
from mixste.typed import build
from pipelines.data import provide
from pipelines.params import Params, compose
from pipelines.prepare import Subject, find_subjects, prepare_subject
from pipelines.project import Task, project_file


def prepared(subject: Subject) -> float:
    """Run the task of prepare; the peak of this process's memory, GiB."""
    return prepare_subject(subject)[1].memory_peak_gib


def projected(task: Task) -> float:
    """Run the task of project; the peak of this process's memory, GiB."""
    (task.folder / "random").mkdir(exist_ok=True)
    (task.folder / "rig").mkdir(exist_ok=True)
    return project_file(task)[1].memory_peak_gib


def measure(subject: Subject, times: int, params: Params, folder: Path) -> str:
    """Prepare and project a subject whose trials are there several times, under several names; a row of the table."""
    trials = tuple(replace(trial, name=f"{trial.name}x{n}") for n in range(times) for trial in subject.trials)
    larger = replace(subject, trials=trials, path=folder / f"{subject.source.name}-{times}.parquet")
    rig, data = load_rig(params.project.rig.cameras), params.data
    task = Task(larger.path, ("random", "rig"), folder, data.skeleton, data.fps, params.project, rig, params.seed)
    peaks = []
    for function, item in ((prepared, larger), (projected, task)):
        with get_context("spawn").Pool(1) as pool:
            peaks.append(pool.apply(function, (item,)))
    tables = (larger.path, *(folder / kind / larger.path.name for kind in task.kinds))
    size = sum(table.stat().st_size for table in tables) / 2**20
    return f"| {len(trials)} | {size:,.0f} | {' | '.join(f'{1024 * peak:,.0f}' for peak in peaks)} |"


def main() -> None:
    """Print a table, a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject")
    parser.add_argument("--times", type=int, nargs="+", default=(1, 4, 16))
    chosen, overrides = parser.parse_known_args()
    params = build(Params, OmegaConf.to_container(compose(overrides), resolve=True), "conf")
    provide(Path(params.data.folder), synthetic=params.data.synthetic)
    print("| trials | tables, MiB | peak of prepare, MiB | peak of project, MiB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        subjects = find_subjects(params.data, Path(name))
        subject = next(one for one in subjects if chosen.subject in (None, one.trials[0].subject))
        for times in chosen.times:
            print(measure(subject, times, params, Path(name)), flush=True)


if __name__ == "__main__":
    main()
