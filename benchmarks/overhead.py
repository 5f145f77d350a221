"""Where the seconds of the sample's pipeline go: each stage until its first training step, its steps, and after them.

    python -m benchmarks.overhead [--json FILE] [OVERRIDES...]

Runs `python -m pipelines.repro` in a checkout of its own. A stage lasts from the line by which DVC says that it runs
to the next stage's; its run, as MLflow has it, lies within. An epoch's record comes up to half a second after its last
step, and its `seconds` with validation reach back to its first. Stages that train nothing have their work: what they
themselves call `seconds`. CPU seconds are of all processes, Ray's included, twice a second from /proc. Linux only.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.drills.checkout import environment, make_checkout
from benchmarks.pipeline import MARK, of_marked

RUNNING = re.compile(r"Running stage '(\w+)'")
TRAINED = ("pretrain", "scratch", "finetune")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Row:
    """Seconds of a stage: until its run began, to the first step (both from its start), steps, after them, and all."""

    stage: str
    command: float
    imports: float | None
    before: float | None
    work: float | None
    after: float | None
    total: float
    cpu: float


class Cpu:
    """CPU seconds of all processes of a mark, those that ended included as they were last seen."""

    def __init__(self, mark: str) -> None:
        self._seen: dict[str, float] = {}
        self._mark, self._lock = mark, threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def seconds(self) -> float:
        """All so far."""
        with self._lock:
            self._seen |= of_marked(self._mark, _used)
            return sum(self._seen.values())

    def _watch(self) -> None:
        while True:
            self.seconds()
            time.sleep(0.5)


def _used(process: Path) -> float:
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def run(checkout: Path) -> list[tuple[str, float, float]]:
    """Run the pipeline; what begins when, and how many CPU seconds were used before: the command, stages, the end."""
    mark = str(os.getpid())
    own = environment(PYTHONUNBUFFERED="1", PYTHONPATH=str(checkout), **{MARK: mark})
    cpu, moments = Cpu(mark), [("command", time.time(), 0.0)]
    command = ["python", "-m", "pipelines.repro"]
    with subprocess.Popen(
        command, cwd=checkout, env=own, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if found := RUNNING.search(line):
                moments.append((found[1], time.time(), cpu.seconds()))
    if process.returncode:
        raise SystemExit(f"the pipeline ended with {process.returncode}")
    return [*moments, ("end", time.time(), cpu.seconds())]


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


def rows(moments: list[tuple[str, float, float]], found: dict[str, Any]) -> list[Row]:
    """A row a stage, and one for what comes before the first."""
    table = []
    for (stage, started, cpu), (_, ended, cpu_after) in pairwise(moments):
        row = Row(stage, started - moments[0][1], None, None, None, None, ended - started, cpu_after - cpu)
        if stage in found:
            info, epochs = found[stage]
            row.imports = info.start_time / 1000 - started
            row.work = sum(seconds for _, seconds in epochs) or None
            if stage in TRAINED:
                row.before = epochs[0][0] - epochs[0][1] - started
                row.after = ended - epochs[-1][0]
        table.append(row)
    return table


def show(table: list[Row]) -> None:
    """Print the rows and their sum as Markdown."""

    def cells(*values: float | None) -> str:
        return " | ".join("" if value is None else f"{value:.1f}" for value in values)

    print("| stage | begins | run begins after | first step after | work | after the last step | all | CPU |")
    print("|---|---|---|---|---|---|---|---|")
    for row in table:
        stage, *seconds = asdict(row).values()
        print(f"| {stage} | {cells(*seconds)} |")
    total = sum(row.total for row in table)
    work = sum(row.work or 0 for row in table)
    print(f"| all | | | | {cells(work)} | | {cells(total, sum(row.cpu for row in table))} |")


def main() -> None:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("overrides", nargs="*", help="as of `make params`; none: the sample")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        checkout = make_checkout(Path(place), *chosen.overrides)
        moments = run(checkout)
        table = rows(moments, records(checkout))
    show(table)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(row) for row in table], indent=2) + "\n")


if __name__ == "__main__":
    main()
