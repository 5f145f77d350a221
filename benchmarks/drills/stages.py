"""A training stage that is watched while it runs: how far it is, what it printed, how it ended."""

import csv
import hashlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.drills.checkout import make_checkout, run
from benchmarks.drills.machines import kill_tree, wait_until

EPOCH = re.compile(r"^scratch  epoch (\d+)/", re.MULTILINE)
RECORD = re.compile(r"^scratch  (epoch .*) frames/s", re.MULTILINE)
SCRATCH = ("python", "-m", "pipelines.finetune", "--from", "scratch")
PATIENCE_S = 1200  # on a busy machine
Curve = list[dict[str, float]]


@dataclass
class Stage:
    """`scratch`, running in a checkout."""

    process: subprocess.Popen[bytes]
    log: Path
    started: float

    @property
    def text(self) -> str:
        """What it printed so far."""
        return self.log.read_text()

    @property
    def epochs(self) -> list[int]:
        """The epochs that it reported, as often and in the order as it did."""
        return [int(number) for number in EPOCH.findall(self.text)]

    @property
    def records(self) -> list[str]:
        """What it reported of each epoch, its speed with it."""
        return RECORD.findall(self.text)

    def wait_for_epoch(self, number: int, seconds: float = PATIENCE_S) -> float:
        """Wait until an epoch is reported; returns the seconds that took. RuntimeError if the stage ended before."""

        def reached() -> bool:
            if self.process.poll() is not None and number not in self.epochs:
                raise RuntimeError(f"ended before epoch {number}\n{self.text}")
            return number in self.epochs

        return wait_until(reached, f"epoch {number}\n{self.text}", seconds)

    def end(self, seconds: float = PATIENCE_S) -> int:
        """Wait for the end; returns the exit status."""
        return self.process.wait(seconds)

    def message(self) -> str:
        """The error that the user is told."""
        return self.text.rsplit("error: ", 1)[-1].strip()


@contextmanager
def scratch(checkout: Path, env: Mapping[str, str]) -> Iterator[Stage]:
    """Run the stage `scratch` in a checkout; whatever is left of it at the end of the block is killed."""
    log = checkout / "stage.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            SCRATCH,
            cwd=checkout,
            env={**env, "PYTHONPATH": str(checkout)},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Stage(process, log, time.monotonic())
    finally:
        kill_tree(process.pid)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def prepared(folder: Path, *overrides: str) -> Path:
    """Make a checkout with its projections, ready for training on the cluster of RAY_ADDRESS."""
    checkout = make_checkout(folder, *overrides)
    run("dvc", "repro", "project", cwd=checkout)
    return checkout


def weights(checkout: Path) -> str:
    """Hash of the weights of the model that the stage wrote."""
    return hashlib.md5((checkout / "models/scratch/model.safetensors").read_bytes(), usedforsecurity=False).hexdigest()


def curve(checkout: Path) -> Curve:
    """The history of the model that the stage wrote."""
    with (checkout / "models/scratch/history.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def differences(one: Curve, other: Curve) -> list[float]:
    """Relative differences of the losses of two curves, epoch by epoch."""
    return [abs(a["loss"] - b["loss"]) / b["loss"] for a, b in zip(one, other, strict=True)]
