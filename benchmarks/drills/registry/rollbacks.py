"""Rollbacks: plain, two at once, killed, by name; nothing taken back returns, and nothing is lost with the runs."""

import signal
import time
from pathlib import Path

from benchmarks.drills.registry.drill import CLIPS, Drill, Entry, finished, start, verify, workplace
from benchmarks.drills.registry.folders import TEST_DATA
from pipelines import registry
from pipelines.params import load
from pipelines.registry.succession import BEFORE

_KILLS = 3


def rollbacks(drill: Drill) -> None:
    """Roll back in every way, from three champions made one after the other; nothing comes back by itself."""
    folder = workplace(drill, drill.entries[0], "operator")
    for step in (_ever_better, _plain, _two_at_once, _killed, _again_by_registering, _by_name):
        step(drill, folder)
        what = step.__name__.strip("_").replace("_", " ")
        print(f"  rollbacks, {what}: champion {drill.shelf.state().alias}", flush=True)


def _ever_better(drill: Drill, folder: Path) -> None:
    best = _best(drill).error
    for number in range(3):
        entry = Entry(drill.random.randrange(1 << 30), round(best - 1 - number, 3))
        drill.entries.append(entry)
        _register(drill, entry, f"better{number}")
    verify(drill)


def _plain(drill: Drill, folder: Path) -> None:
    _, target = _before(drill)
    _roll_back(drill, folder, "--why", "a drill")
    _expect(drill, "plain", target)


def _two_at_once(drill: Drill, folder: Path) -> None:
    """Two that begin together take back one champion: the second refuses, unless it began after the first's end."""
    champion, target = _before(drill)
    both = [start(drill, "rollback", folder, "--why", "both", alone=False) for _ in range(2)]
    for process in both:
        process.join()
    drill.counts["rollbacks"] += 2
    statuses = sorted(process.exitcode or 0 for process in both)
    drill.check(f"two at once: statuses {statuses}", statuses in ([0, 1], [0, 0]))
    if statuses == [0, 1]:
        _expect(drill, "two at once", target)
    _roll_back(drill, folder, "--to", str(champion))
    _expect(drill, "forward again", champion)


def _killed(drill: Drill, folder: Path) -> None:
    for _ in range(_KILLS):
        champion, target = _before(drill)
        process = start(drill, "rollback", folder, "--to", str(target), "--why", "killed", alone=False)
        time.sleep(drill.random.uniform(0, drill.seconds / 2))
        process.kill()
        process.join()
        drill.counts["killed -9"] += process.exitcode == -signal.SIGKILL
        if drill.shelf.state().alias != target:
            _roll_back(drill, folder, "--to", str(target), "--why", "again")
        _expect(drill, f"killed on the way from {champion}", target)
        _roll_back(drill, folder, "--to", str(champion))
        _expect(drill, "and forward again", champion)
    _plain(drill, folder)


def _again_by_registering(drill: Drill, folder: Path) -> None:
    """What was taken back is registered once more, and something worse: the champion stays."""
    champion = drill.shelf.state().alias
    worse = Entry(drill.random.randrange(1 << 30), 500.0)
    for number, entry in enumerate((_best(drill), worse)):
        _register(drill, entry, f"again{number}")
    drill.entries.append(worse)
    verify(drill)
    drill.check("what was taken back stays so", drill.shelf.state().alias == champion)


def _by_name(drill: Drill, folder: Path) -> None:
    for target in (1, len(drill.entries), 2):
        _roll_back(drill, folder, "--to", str(target))
        _expect(drill, "by name", target)


def _best(drill: Drill) -> Entry:
    return min((entry for entry in drill.entries if entry.test_data == TEST_DATA), key=lambda entry: entry.error)


def _register(drill: Drill, entry: Entry, name: str) -> None:
    place = workplace(drill, entry, name)
    finished(drill, place, start(drill, "register", place, alone=False), alone=False)
    drill.counts["registrations"] += 1


def _roll_back(drill: Drill, folder: Path, *arguments: str) -> None:
    process = start(drill, "rollback", folder, *arguments, alone=False)
    process.join()
    drill.counts["rollbacks"] += 1
    if process.exitcode:
        print("    " + (folder / "log.txt").read_text().strip().splitlines()[-1], flush=True)


def _before(drill: Drill) -> tuple[int, int]:
    """The champion and the one before it."""
    state = drill.shelf.state()
    champion = state.version(state.alias)
    if champion is None:
        raise RuntimeError("no champion")
    return champion.number, int(champion.tags[BEFORE])


def _expect(drill: Drill, what: str, target: int) -> None:
    state = drill.shelf.state()
    drill.rolled_back = {version.number for version in state.versions if version.rolled_back}
    drill.check(f"{what}: champion {state.alias}, expected {target}", state.alias == target)
    later = {version.number for version in state.versions if version.number > target}
    drill.check(f"{what}: all later than {target} are rolled back", later <= drill.rolled_back)


def lineage_outlives_runs(drill: Drill) -> None:
    """Delete every run: each version still says all of itself, and holds parameters and errors by clip."""
    shelf = drill.shelf
    experiments = [experiment.experiment_id for experiment in shelf.client.search_experiments()]
    for run in shelf.client.search_runs(experiments, max_results=50_000):
        shelf.client.delete_run(run.info.run_id)
        drill.counts["runs deleted"] += 1
    settings = load(drill.base / "params.yaml")
    for version in shelf.state().versions:
        drill.check_lineage(version)
        folder = shelf.download(version.number, f"artifacts/{registry.AS_REGISTERED}", drill.place / "kept")
        drill.check(f"version {version.number} holds all parameters", load(folder / "params.yaml") == settings)
        errors = shelf.clip_errors(version)
        drill.check(f"version {version.number} holds its errors", errors is not None and len(errors.clips) == CLIPS)
