"""Rollbacks: plain, two at once, killed, by name; nothing that was taken back returns, and nothing is lost with runs."""

import os
import signal
import time
from pathlib import Path

from benchmarks.drills.registry.drill import CLIPS, LINEAGE, Drill, Entry, finished, start, workplace
from benchmarks.drills.registry.folders import TEST_DATA
from pipelines import registry
from pipelines.params import load
from pipelines.succession import BEFORE


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
