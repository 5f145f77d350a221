"""Where the seconds of the sample's pipeline go: each stage until its first training step, its steps, and after them.

    python -m benchmarks.overhead [--json FILE] [OVERRIDES...]

Runs `python -m pipelines.repro` in a checkout of its own. A stage begins with the line by which DVC says that it runs
and ends when its process does; its run, as MLflow has it, lies within. An epoch's record comes up to half a second
after its last step, and its `seconds`, validation among them, reach back to its first. Stages that train nothing have
their work: what they themselves call `seconds`. CPU seconds are of all processes, Ray's included, from a stage's begin
to the next one's, so that of stages at once the last has nearly all. /proc is read five times a second. Linux only.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from benchmarks.drills.checkout import environment, make_checkout
from benchmarks.pipeline import MARK, of_marked

RUNNING = re.compile(r"Running stage '(\w+)'")
TRAINED = ("pretrain", "scratch", "finetune")
TICKS = os.sysconf("SC_CLK_TCK")
Moments = Sequence[tuple[str, float, float]]


@dataclass
class Row:
    """Seconds of a stage: when it begins, then from there until its run does, to the first step, and so on."""

    stage: str
    begins: float
    run_after: float | None = None
    first_step_after: float | None = None
    work: float | None = None
    after_last_step: float | None = None
    all: float = 0.0
    cpu: float = 0.0


class Processes:
    """All processes of a mark: their CPU seconds, as they were last seen, and when each command was."""

    def __init__(self, mark: str) -> None:
        self.seen: dict[str, float] = {}
        self._used: dict[str, float] = {}
        self._mark, self._lock = mark, threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def cpu(self) -> float:
        """CPU seconds of all so far."""
        with self._lock:
            self._used |= of_marked(self._mark, self._read)
            return sum(self._used.values())

    def _read(self, process: Path) -> float:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        command = (process / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()
        self.seen[command] = time.time()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def _watch(self) -> None:
        while True:
            self.cpu()
            time.sleep(0.2)


def run(checkout: Path) -> tuple[Moments, dict[str, float]]:
    """Run the pipeline: what begins when, and how many CPU seconds were used before; and when each stage was last seen.

    The first moment is the command's, the last its end.
    """
    mark = str(os.getpid())
    own = environment(PYTHONUNBUFFERED="1", PYTHONPATH=str(checkout), **{MARK: mark})
    processes, moments = Processes(mark), [("command", time.time(), 0.0)]
    command = ["python", "-m", "pipelines.repro"]
    with subprocess.Popen(
        command, cwd=checkout, env=own, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if found := RUNNING.search(line):
                moments.append((found[1], time.time(), processes.cpu()))
    if process.returncode:
        raise SystemExit(f"the pipeline ended with {process.returncode}")
    stages = yaml.safe_load((checkout / "dvc.yaml").read_text())["stages"]
    ends = {stage: processes.seen[about["cmd"]] for stage, about in stages.items()}
    return [*moments, ("end", time.time(), processes.cpu())], ends


def records(checkout: Path) -> dict[str, Any]:
    """The run of each stage, and the (moment, value) of every `seconds` that it logged."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{checkout}/mlflow.db")
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    histories = {run.info.run_id: client.get_metric_history(run.info.run_id, "seconds") for run in found}
    return {
        run.info.run_name: (run.info, sorted((one.timestamp / 1000, one.value) for one in histories[run.info.run_id]))
        for run in found
    }


def rows(moments: Moments, ends: dict[str, float], found: dict[str, Any]) -> list[Row]:
    """A row a stage, and one for what comes before the first."""
    table = []
    for (stage, started, cpu), (_, following, cpu_after) in pairwise(moments):
        row = Row(stage, started - moments[0][1], all=ends.get(stage, following) - started, cpu=cpu_after - cpu)
        if stage in found:
            info, epochs = found[stage]
            row.run_after = info.start_time / 1000 - started
            row.work = sum(seconds for _, seconds in epochs) or None
            if stage in TRAINED:
                row.first_step_after = epochs[0][0] - epochs[0][1] - started
                row.after_last_step = ends[stage] - epochs[-1][0]
        table.append(row)
    return table


def show(table: list[Row], seconds: float) -> None:
    """Print the rows and their sum as Markdown."""

    def cells(*values: float | None) -> str:
        return " | ".join("" if value is None else f"{value:.1f}" for value in values)

    print("| stage | begins at | run after | first step after | work | after the last step | all | CPU |")
    print("|---|---|---|---|---|---|---|---|")
    for row in table:
        stage, *figures = asdict(row).values()
        print(f"| {stage} | {cells(*figures)} |")
    work, cpu = (sum(getattr(row, name) or 0 for row in table) for name in ("work", "cpu"))
    print(f"| all | {cells(None, None, None, work, None, seconds, cpu)} |")


def main() -> None:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("overrides", nargs="*", help="as of `make params`; none: the sample")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        checkout = make_checkout(Path(place), *chosen.overrides)
        moments, ends = run(checkout)
        table = rows(moments, ends, records(checkout))
    show(table, moments[-1][1] - moments[0][1])
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(row) for row in table], indent=2) + "\n")


if __name__ == "__main__":
    main()
