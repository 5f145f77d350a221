"""Registrations at once, killed at random moments, and rollbacks: `python -m benchmarks.drills.registry [--rounds 10]`.

Against MLflow's sqlite file and against a server of our own. In every round two or four processes register models of
known errors at the same time, in every second round as if on machines of their own (without the lock that processes of
one machine share). Some are killed -9 at a random moment and started again. After each round there is one champion, the
right one, one version a model, and none without its lineage. Then rollbacks: plain, by name, two at once, killed.
"""

import argparse
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.drills import checkout
from benchmarks.drills.registrable import TEST_DATA, write_evaluation, write_model, write_rig
from pipelines import register, registry, rollback, stage
from pipelines.params import Params, load, write
from pipelines.succession import BEFORE, Version

LINEAGE = (
    *("git_commit", "git_dirty", "data_hash", "parent_data_hash", "test_data_hash", "captures_hash", "params_hash"),
    *("weights_hash", "code_hash", "test_headline", "test_mpjpe_mm", "licence", "skeleton", "unit", "frame", "fps"),
)
CLIPS = 12


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


def start(drill: Drill, verb: str, folder: Path, *arguments: str, alone: bool) -> multiprocessing.Process:
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


def drawn(drill: Drill, count: int) -> list[Entry]:
    """Models for a round: better or worse than all before, as good as the best, on other data, or twice the same."""
    best = min((entry.error for entry in drill.entries), default=100.0)
    found: list[Entry] = []
    for _ in range(count):
        kind = drill.random.choice(("better", "better", "worse", "equal", "elsewhere", "twin"))
        seed = drill.random.randrange(1 << 30)
        if kind == "twin" and found:
            found.append(found[-1])
        elif kind == "elsewhere" and drill.entries:
            found.append(Entry(seed, best - 30, "u" * 32))
        else:
            step = {"better": -drill.random.randint(1, 9) / 10, "worse": drill.random.randint(1, 90) / 10}.get(kind, 0)
            found.append(Entry(seed, round(best + step, 3)))
    return found


def round_of(drill: Drill, number: int, count: int) -> None:
    """Register models at once; kill some, start those again, and check what is there."""
    alone, entries = number % 2 == 1, drawn(drill, count)
    folders = [workplace(drill, entry, f"round{number}-{n}") for n, entry in enumerate(entries)]
    drill.entries += [entry for n, entry in enumerate(entries) if entry not in entries[:n]]
    begun = time.monotonic()
    running = {folder: start(drill, "register", folder, alone=alone) for folder in folders}
    victims = [folder for folder in folders if drill.random.random() < 0.5]
    for folder in sorted(victims, key=lambda _: drill.random.random()):
        time.sleep(drill.random.uniform(0, drill.seconds / max(1, len(victims))))
        if running[folder].is_alive():
            os.kill(running[folder].pid, signal.SIGKILL)
            running[folder].join()
            drill.counts["killed -9"] += 1
            running[folder] = start(drill, "register", folder, alone=alone)
    outcomes = [finished(drill, folder, running[folder], alone) for folder in folders]
    drill.seconds = 0.7 * drill.seconds + 0.3 * (time.monotonic() - begun)
    drill.counts["rounds"] += 1
    drill.counts["registrations"] += count
    verify(drill, outcomes)
    champion = drill.shelf.state().alias
    where = "own machines" if alone else "one machine"
    took = f"{len(victims)} to kill, {time.monotonic() - begun:.0f} s"
    print(f"  round {number + 1}: {count} at once on {where}, {took}; champion {champion}", flush=True)


def finished(drill: Drill, folder: Path, process: multiprocessing.Process, alone: bool) -> str:
    """Wait for a registration, again where it says that it did not register; what its log ends with."""
    for _ in range(4):
        process.join(180)
        last = (folder / "log.txt").read_text().strip().splitlines()[-1]
        if process.exitcode == 0 and "not registered" not in last:
            return last
        drill.counts["tried again"] += 1
        print(f"    tried again: exit {process.exitcode}: {last}", flush=True)
        process = start(drill, "register", folder, alone=alone)
    drill.check(f"{folder.name} is registered after four tries", False)
    return ""


def verify(drill: Drill, outcomes: list[str] | None = None) -> None:
    """Check the whole registry against what was registered, computed here without the gate."""
    state = drill.shelf.state()
    models = {(version.tags["weights_hash"], version.tags["test_data_hash"]) for version in state.versions}
    drill.check("no version twice", len(models) == len(state.versions))
    drill.check("a version of every model", len(state.versions) == len(drill.entries))
    for version in state.versions:
        lost = [key for key in LINEAGE if version.tags.get(key) in (None, "", "None")]
        drill.check(f"version {version.number} keeps its lineage, lost {lost}", not lost)
        drill.check(f"version {version.number} knows its commit", len(version.tags["git_commit"]) == 40)
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


def rollbacks(drill: Drill) -> None:
    """Roll back: plain, two at once, killed and started again, by name; nothing comes back by itself."""
    folder = workplace(drill, drill.entries[0], "operator")
    for step in (_plain, _two_at_once, _killed, _again_by_registering, _by_name):
        step(drill, folder)
        print(
            f"  rollback, {step.__name__.strip('_').replace('_', ' ')}: champion {drill.shelf.state().alias}",
            flush=True,
        )


def _before(drill: Drill) -> tuple[int, int]:
    """The champion and the one before it."""
    state = drill.shelf.state()
    champion = state.version(state.alias)
    return champion.number, int(champion.tags[BEFORE])


def _expect(drill: Drill, what: str, target: int) -> None:
    state = drill.shelf.state()
    drill.rolled_back = {version.number for version in state.versions if version.rolled_back}
    drill.check(f"{what}: champion {state.alias}, expected {target}", state.alias == target)
    later = {version.number for version in state.versions if version.number > target}
    drill.check(f"{what}: all later than {target} are rolled back", later <= drill.rolled_back)


def _plain(drill: Drill, folder: Path) -> None:
    _, target = _before(drill)
    process = start(drill, "rollback", folder, "--why", "a drill", alone=False)
    process.join()
    drill.counts["rollbacks"] += 1
    _expect(drill, "plain", target)


def _two_at_once(drill: Drill, folder: Path) -> None:
    _, target = _before(drill)
    both = [start(drill, "rollback", folder, "--why", "both", alone=False) for _ in range(2)]
    for process in both:
        process.join()
    drill.counts["rollbacks"] += 2
    statuses = sorted(process.exitcode for process in both)
    drill.check(f"two at once: statuses {statuses}, of which one may refuse", statuses in ([0, 1], [0, 0]))
    if statuses == [0, 1]:
        _expect(drill, "two at once", target)


def _killed(drill: Drill, folder: Path) -> None:
    for _ in range(4):
        champion, target = _before(drill)
        process = start(drill, "rollback", folder, "--to", str(target), "--why", "killed", alone=False)
        time.sleep(drill.random.uniform(0, 3))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        drill.counts["killed -9"] += process.exitcode == -signal.SIGKILL
        if drill.shelf.state().alias != target:
            start(drill, "rollback", folder, "--to", str(target), "--why", "again", alone=False).join()
        drill.counts["rollbacks"] += 1
        _expect(drill, f"killed on the way from {champion}", target)
        start(drill, "rollback", folder, "--to", str(champion), alone=False).join()
        drill.counts["rollbacks"] += 1
        _expect(drill, "and forward again", champion)


def _again_by_registering(drill: Drill, folder: Path) -> None:
    """What was rolled back is registered once more, and something worse: neither is champion."""
    champion = drill.shelf.state().alias
    ours = [entry for entry in drill.entries if entry.test_data == TEST_DATA]
    taken = min(ours, key=lambda entry: entry.error)
    worse = Entry(drill.random.randrange(1 << 30), 500.0)
    drill.entries.append(worse)
    for number, entry in enumerate((taken, worse)):
        place = workplace(drill, entry, f"again{number}")
        finished(drill, place, start(drill, "register", place, alone=False), alone=False)
        drill.counts["registrations"] += 1
    drill.check("what was rolled back stays so", drill.shelf.state().alias == champion)


def _by_name(drill: Drill, folder: Path) -> None:
    for target in (1, len(drill.entries), 2):
        start(drill, "rollback", folder, "--to", str(target), alone=False).join()
        drill.counts["rollbacks"] += 1
        _expect(drill, "by name", target)


def lineage_outlives_runs(drill: Drill) -> None:
    """Delete every run: each version still says all of itself, and holds parameters and errors by clip."""
    client = drill.shelf.client
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    for run in client.search_runs(experiments, max_results=50_000):
        client.delete_run(run.info.run_id)
        drill.counts["runs deleted"] += 1
    for version in drill.shelf.state().versions:
        lost = [key for key in LINEAGE if version.tags.get(key) in (None, "", "None")]
        drill.check(f"version {version.number} keeps its lineage without runs, lost {lost}", not lost)
    shelf, version = drill.shelf, drill.shelf.state().versions[-1]
    errors = shelf.clip_errors(version)
    drill.check("errors by clip are there without runs", errors is not None and len(errors.clips) == CLIPS)
    folder = shelf.download(version.number, f"artifacts/{registry.AS_REGISTERED}", drill.place)
    drill.check("all parameters are there", load(folder / "params.yaml") == load(drill.base / "params.yaml"))


@contextmanager
def server(place: Path) -> Iterator[str]:
    """MLflow's server on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
    command += ["--backend-store-uri", f"sqlite:///{place}/mlflow.db", "--artifacts-destination", str(place / "files")]
    quiet = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (place / "server.txt").open("w") as log:
        process = subprocess.Popen(command, start_new_session=True, env=quiet, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait(uri: str, process: "subprocess.Popen[bytes]") -> None:
    from pipelines import store

    for _ in range(180):
        if process.poll() is not None:
            raise RuntimeError("the server did not start")
        try:
            store.reach(uri, 1)
            return
        except ConnectionError:
            time.sleep(0.5)
    raise RuntimeError("the server does not answer")


def run(title: str, uri: str, place: Path, base: Path, rounds: int, seed: int) -> Drill:
    """All rounds, then the rollbacks, against one store."""
    print(f"{title}:", flush=True)
    drill = Drill(uri, place, base, Random(seed))  # noqa: S311  (no secret)
    drill.shelf.client.search_experiments()
    for number in range(rounds):
        round_of(drill, number, 2 if number % 4 < 2 else 4)
    rollbacks(drill)
    lineage_outlives_runs(drill)
    return drill


def settings(base: Path) -> Params:
    """A folder under git with params.yaml and the rig, which every registration copies."""
    base.mkdir()
    params = write(["model=tiny", "model.width=8", "model.depth=1"], checkout.ROOT / "conf", base / "params.yaml")
    write_rig(params, base)
    for command in (("init", "-q"), ("add", "params.yaml"), ("commit", "-qm", "settings")):
        checkout.run("git", "-c", "user.name=drill", "-c", "user.email=drill@localhost", *command, cwd=base)
    return params


def main() -> None:
    """Run the drill and print its table; the status says whether everything held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="of each store")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    forkserver = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload(
        ["benchmarks.drills.registry", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store"]
    )
    drills, begun = {}, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="registry") as name:
        place = Path(name)
        settings(place / "base")
        for title in ("sqlite", "server"):
            (place / title).mkdir()
        uri = f"sqlite:///{place}/sqlite/mlflow.db"
        drills["sqlite"] = run("sqlite", uri, place / "sqlite", place / "base", chosen.rounds, chosen.seed)
        with server(place / "server") as address:
            drills["server"] = run("server", address, place / "server", place / "base", chosen.rounds, chosen.seed + 1)
    columns = ("rounds", "registrations", "killed -9", "tried again", "rollbacks", "runs deleted", "checks")
    print(f"\n| store | versions | {' | '.join(columns)} | failures |")
    print("|---" * (len(columns) + 3) + "|")
    for title, drill in drills.items():
        cells = [str(len(drill.entries)), *(str(drill.counts[name]) for name in columns), str(len(drill.failures))]
        print(f"| {title} | {' | '.join(cells)} |")
    print(f"\n{time.monotonic() - begun:.0f} seconds")
    sys.exit(any(drill.failures for drill in drills.values()))


if __name__ == "__main__":
    main()
