"""A store that processes register into, and what is known of it without asking the gate."""

import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.drills import checkout
from benchmarks.drills.registry.folders import TEST_DATA, write_evaluation, write_model
from pipelines import register, registry, rollback
from pipelines.params import load
from pipelines.process import stage
from pipelines.registry.succession import Version

LINEAGE = (
    *("git_commit", "git_dirty", "data_hash", "parent_data_hash", "test_data_hash", "captures_hash", "params_hash"),
    *("weights_hash", "code_hash", "test_headline", "test_mpjpe_mm", "licence", "skeleton", "unit", "frame", "fps"),
    *("run", "run_parent", "run_evaluate"),
)
CLIPS = 12
_TRIES = 4


@dataclass
class Entry:
    """A model that a process registers: its seed, error (mm) and test data."""

    seed: int
    error: float
    test_data: str = TEST_DATA


@dataclass
class Drill:
    """A store with the folders that register into it, and what has happened there."""

    uri: str
    place: Path
    base: Path
    random: Random
    entries: list[Entry] = field(default_factory=list)
    rolled_back: set[int] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 6.0

    @property
    def shelf(self) -> registry.Shelf:
        """The registry as it is now, nothing remembered."""
        return registry.Shelf(self.uri, "mixste", "champion")

    def check(self, what: str, holds: bool) -> None:
        """Count a check, and remember what failed."""
        self.counts["checks"] += 1
        if not holds:
            self.failures.append(what)
            print(f"    FAILED: {what}", flush=True)

    def check_lineage(self, version: Version) -> None:
        """Check that a version says all of what it was made of."""
        lost = [key for key in LINEAGE if version.tags.get(key) in (None, "", "None")]
        self.check(f"version {version.number} keeps its lineage, lost {lost}", not lost)
        self.check(f"version {version.number} knows its commit", len(version.tags["git_commit"]) == 40)


def child(verb: str, folder: Path, environment: dict[str, str], arguments: list[str]) -> None:
    """What a process does: a verb in a folder of its own, as `python -m pipelines.VERB` there."""
    os.chdir(folder)
    os.environ.update(environment)
    tempfile.tempdir = environment["TMPDIR"]
    sys.argv = [verb, *arguments]
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    stage.run({"register": register.main, "rollback": rollback.main}[verb])


def start(drill: Drill, verb: str, folder: Path, *arguments: str, alone: bool) -> BaseProcess:
    """Start a verb; `alone`: as on a machine of its own, with nobody to share a lock with."""
    shared = folder if alone else drill.place
    environment = {"MLFLOW_TRACKING_URI": drill.uri, "TMPDIR": str(shared / "tmp")}
    (shared / "tmp").mkdir(exist_ok=True)
    process = multiprocessing.get_context("forkserver").Process(
        target=child, args=(verb, folder, environment, list(arguments))
    )
    process.start()
    return process


def workplace(drill: Drill, entry: Entry, name: str) -> Path:
    """A folder with what `register` reads of a model."""
    folder = drill.place / name
    checkout.run("cp", "-r", str(drill.base), str(folder), cwd=drill.place)
    write_model(load(folder / "params.yaml"), seed=entry.seed, root=folder)
    write_evaluation(entry.error + np.linspace(-3, 3, CLIPS), test_data=entry.test_data, root=folder)
    return folder


def finished(drill: Drill, folder: Path, process: BaseProcess, alone: bool) -> str:
    """Wait for a registration, again where it says that it did not register; what its log ends with."""
    for _ in range(_TRIES):
        process.join(180)
        said = (folder / "log.txt").read_text().strip().splitlines()
        last = said[-1]
        if process.exitcode == 0 and "not registered" not in last:
            return last
        drill.counts["tried again"] += 1
        print(f"    tried again: exit {process.exitcode}: {' / '.join(said[-3:])}", flush=True)
        process = start(drill, "register", folder, alone=alone)
    drill.check(f"{folder.name} is registered after all tries", False)
    return ""


def verify(drill: Drill, outcomes: list[str] | None = None) -> None:
    """Check the whole registry against what was registered, computed here without the gate."""
    state = drill.shelf.state()
    models = {(version.tags["weights_hash"], version.tags["test_data_hash"]) for version in state.versions}
    drill.check("no version twice", len(models) == len(state.versions))
    drill.check("a version of every model", len(state.versions) == len(drill.entries))
    for version in state.versions:
        drill.check_lineage(version)
    champion = state.version(state.alias)
    drill.check("one champion", champion is not None)
    if champion is not None:
        fit = [version for version in state.versions if version.number not in drill.rolled_back]
        right = right_one(fit)
        drill.check(f"champion is {champion.number}, the right one {right.number}", champion.number == right.number)
    for line in outcomes or []:
        drill.check(f"an outcome names its version: {line[:60]}", line.startswith("mixste version "))


def right_one(versions: list[Version]) -> Version:
    """The lowest error on the first version's data, the first of those that share it: errors differ surely or not."""
    data = versions[0].tags["test_data_hash"]
    return min(
        (version for version in versions if version.tags["test_data_hash"] == data),
        key=lambda version: (float(version.tags["test_mpjpe_mm"]), version.number),
    )
