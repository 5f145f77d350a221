"""MLflow's server goes away before, during and after a training: what is lost, what is doubled, what it costs.

    python -m benchmarks.drills.tracking [ROW ...]

Every row trains the stage `scratch` anew in a checkout of its own, against a real `mlflow server` that is ended with
SIGKILL, and holds what the server has in the end against the training's own history. Exit status 1 for any loss or
double. ROW is a word of the rows to run, none: all; the first, a server in good health, is always run.
"""

import csv
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from benchmarks.drills.checkout import SHORT, environment, make_checkout, run
from benchmarks.drills.server import Server
from pipelines.process.environment import set_environment
from pipelines.tracking.outbox import outboxes

EPOCHS = 32
STAGE = ("python", "-m", "pipelines.finetune", "--from", "scratch")
SETTINGS = (*SHORT, f"finetune.epochs={EPOCHS}", "finetune.windows_per_epoch=256", "cluster.workers=1")


@dataclass
class Row:
    """What was measured of one training."""

    name: str
    seconds: float = 0.0
    tail: float = 0.0
    kept: int = 0
    later: int = 0
    problems: list[str] = field(default_factory=list)
    records: int = 0


class Stage:
    """The stage in a process of its own, whose lines say how far it is."""

    def __init__(self, checkout: Path, env: dict[str, str]) -> None:
        self.began, self.last_epoch = time.monotonic(), 0.0
        self.text, self.epoch = "", 0
        self.process = subprocess.Popen(
            STAGE, cwd=checkout, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.text += line
            if found := re.search(r"epoch (\d+)/", line):
                self.epoch, self.last_epoch = int(found[1]), time.monotonic()

    def reach(self, epoch: int) -> None:
        """Wait until an epoch is done; RuntimeError if the stage ends before."""
        while self.epoch < epoch:
            if self.process.poll() is not None:
                raise RuntimeError(f"the stage ended early:\n{self.text}")
            time.sleep(0.02)

    def end(self) -> tuple[float, float]:
        """Wait for the end; seconds in all and after the last epoch. RuntimeError if the stage fails."""
        status = self.process.wait()
        ended = time.monotonic()
        self._reader.join()
        if status:
            raise RuntimeError(f"the stage ended with {status}:\n{self.text}")
        return ended - self.began, ended - self.last_epoch


class Drill:
    """One checkout, one server, and what is done to them."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder / "server")
        self.checkout, self.ray = (
            folder / "mixste",
            tempfile.mkdtemp(prefix="r-", dir="/tmp"),
        )  # sockets want a short path
        self.env = environment(MLFLOW_TRACKING_URI=self.server.address, RAY_TMPDIR=self.ray)

    def prepare(self) -> None:
        """Everything before the training, with the server in good health."""
        make_checkout(self.checkout, *SETTINGS)
        self.server.start()
        run("dvc", "repro", "project", cwd=self.checkout, env=self.env)

    def begin(self, **more: str) -> Stage:
        """Start the stage."""
        return Stage(self.checkout, {**self.env, **more})

    def forget(self) -> None:
        """Nothing of the last training is left but what waits to be sent."""
        for name in ("models/scratch", *(path.as_posix() for path in (self.checkout / "runs").glob("scratch-*"))):
            run("rm", "-rf", name, cwd=self.checkout)

    def waiting(self) -> int:
        """How many operations wait in the checkout's outboxes."""
        return sum(len(outbox.pending) for outbox in outboxes(self.checkout / "runs/tracking"))

    def sync(self) -> int:
        """`make sync`; the number of operations that it sent."""
        before = self.waiting()
        run("python", "-m", "pipelines.sync", cwd=self.checkout, env=self.env)
        return before - self.waiting()

    def clean(self) -> None:
        """End what a killed driver left of Ray, by the folder that only it has."""
        self.server.kill()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"RAY_TMPDIR={self.ray}".encode() in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
        shutil.rmtree(self.ray, ignore_errors=True)


def healthy(drill: Drill, row: Row) -> None:
    """Nothing happens."""
    row.seconds, row.tail = drill.begin().end()
    row.kept = drill.waiting()


def before(drill: Drill, row: Row) -> None:
    """Gone before the training, back after it."""
    drill.server.kill()
    _end_without_server(drill, row, drill.begin())


def during(drill: Drill, row: Row) -> None:
    """Gone after some epochs, back while it trains."""
    stage = drill.begin()
    stage.reach(3)
    drill.server.kill()
    stage.reach(6)
    row.kept = drill.waiting()
    drill.server.start()
    if stage.process.poll() is not None:
        row.problems.append("the training was over before the server was back: raise EPOCHS")
    row.seconds, row.tail = stage.end()
    row.later = row.kept - drill.waiting()


def after(drill: Drill, row: Row) -> None:
    """Gone after some epochs, back when all is over."""
    stage = drill.begin()
    stage.reach(3)
    drill.server.kill()
    _end_without_server(drill, row, stage)


def silent(drill: Drill, row: Row) -> None:
    """In its place something that takes connections and never answers; then the server is back."""
    drill.server.kill()
    with socket.create_server(("127.0.0.1", drill.server.port), backlog=64):
        row.seconds, row.tail = drill.begin().end()
    _back(drill, row)


def stopped(drill: Drill, row: Row) -> None:
    """Gone after some epochs, then the driver is killed and the training goes on, all while it is away."""
    stage = drill.begin()
    stage.reach(3)
    drill.server.kill()
    stage.reach(10)
    os.kill(stage.process.pid, signal.SIGKILL)
    stage.process.wait()
    _end_without_server(drill, row, drill.begin())


def _end_without_server(drill: Drill, row: Row, stage: Stage) -> None:
    """The stage ends while the server is away, which is back then."""
    row.seconds, row.tail = stage.end()
    _back(drill, row)


def _back(drill: Drill, row: Row) -> None:
    """The server is back and gets what was kept."""
    row.kept = drill.waiting()
    drill.server.start()
    row.later = drill.sync()


SCENARIOS: dict[str, Callable[[Drill, Row], None]] = {
    "healthy": healthy,
    "gone before, back after (`make sync`)": before,
    "gone in the middle, back during": during,
    "gone in the middle, back after (`make sync`)": after,
    "accepts and never answers, back after (`make sync`)": silent,
    "gone in the middle, driver killed -9 and resumed, back after": stopped,
}


def check(drill: Drill, row: Row, known: set[str]) -> None:
    """Hold the server's records of the one new run against the training's own history and files."""
    client = MlflowClient(drill.server.address)
    new = [one for one in _runs(client) if one.info.run_id not in known and one.data.tags["stage"] == "scratch"]
    if len(new) != 1:
        row.problems.append(f"{len(new)} runs, not 1")
        return
    (own,) = new
    with (drill.checkout / "models/scratch/history.csv").open() as file:
        history = list(csv.DictReader(file))
    epochs = [int(float(record["epoch"])) for record in history]
    expected = set(range(1, EPOCHS + 1))
    if set(epochs) != expected:
        row.problems.append(f"history.csv has epochs {epochs}")
    logged = {key for key in own.data.metrics if not key.startswith("system/")}
    for metric in sorted(logged | history[0].keys() - {"epoch"}):
        points = client.get_metric_history(own.info.run_id, metric)
        counts = Counter(point.step for point in points)
        row.records += len(points)
        row.problems += [f"{metric}: gap at {step}" for step in sorted(expected - set(counts))]
        row.problems += [f"{metric}: {count} of {step}" for step, count in sorted(counts.items()) if count > 1]
        if metric in history[0]:
            wrong = [p.step for p in points if abs(p.value - float(history[p.step - 1][metric])) > 1e-6 * abs(p.value)]
            row.problems += [f"{metric}: other value at {step}" for step in wrong]
    row.problems += list(_of_the_run(drill, client, own))


def _of_the_run(drill: Drill, client: MlflowClient, own: Any) -> Iterator[str]:
    """What is wrong with status, times, parameters, input, parent, output and files."""
    tags, waiting = own.data.tags, drill.waiting()
    if waiting:
        yield f"{waiting} operations still wait"
    if own.info.status != "FINISHED" or not own.info.end_time:
        yield f"status {own.info.status}"
    if len(own.data.params) < 100 or own.data.params.get("finetune.epochs") != str(EPOCHS):
        yield f"{len(own.data.params)} parameters"
    if len(own.inputs.dataset_inputs) != 1:
        yield f"{len(own.inputs.dataset_inputs)} inputs"
    above = tags.get("mlflow.parentRunId")
    if above is None or client.get_run(above).data.tags["stage"] != "project":
        yield "no parent"
    if "output_hash" not in tags:
        yield "no output"
    for name in ("config.json", "history.csv"):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(client.download_artifacts(own.info.run_id, name, folder))
            if copy.read_bytes() != (drill.checkout / "models/scratch" / name).read_bytes():
                yield f"{name} is another file"


def _runs(client: MlflowClient) -> list[Any]:
    return list(client.search_runs([one.experiment_id for one in client.search_experiments()], max_results=1000))


def table(rows: list[Row]) -> str:
    """The rows as Markdown; seconds lost are against the healthy row."""
    base = rows[0]
    lines = [
        "| the server | stage ok | seconds | lost | lost after the last epoch | waited on disk | sent on return "
        "| metrics in the end | gaps, doubles, others |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lost = f"{row.seconds - base.seconds:+.1f} | {row.tail - base.tail:+.1f}"
        sent = f"{row.kept} | {row.later} | {row.records}"
        lines.append(
            f"| {row.name} | yes | {row.seconds:.1f} | {lost} | {sent} | {'; '.join(row.problems) or 'none'} |"
        )
    return "\n".join(lines)


def chosen(words: list[str]) -> dict[str, Callable[[Drill, Row], None]]:
    """The rows that one of the words is in, after that of the healthy server; all without words."""
    fitting = {name: run for name, run in SCENARIOS.items() if any(word in name for word in words)}
    return {"healthy": healthy, **fitting} if words else SCENARIOS


def main() -> None:
    """Run every scenario and print the table."""
    rows: list[Row] = []
    set_environment()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        drill = Drill(Path(folder))
        try:
            print("preparing", flush=True)
            drill.prepare()
            for name, scenario in chosen(sys.argv[1:]).items():
                drill.forget()
                known = {one.info.run_id for one in _runs(MlflowClient(drill.server.address))}
                row = Row(name)
                print(name, flush=True)
                scenario(drill, row)
                check(drill, row, known)
                print(f"  {row}", flush=True)
                rows.append(row)
        finally:
            drill.clean()
    print(table(rows))
    if any(row.problems for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
