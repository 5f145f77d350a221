"""Kill -9 at random moments, again and again, and the same command again: the end must be that of an undisturbed run.

    python -m benchmarks.drills.soak [--kills 24] [--seed 0] [--keep FOLDER]

One checkout runs `dvc repro` undisturbed. Another is killed: a worker, the driver of the stage, or the whole process
group; at a random moment, in a step, when a checkpoint is being written, or when a stage begins. Then the same command
runs again, until it ends by itself; where kills are left, from the start with nothing of the round before. Held against
each other: the bytes of all outputs in dvc.lock, every metric of the trainings in MLflow, and half-written files.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.drills.checkout import environment, make_checkout, run

SETTINGS = [
    *(f"{stage}.{key}" for stage in ("pretrain", "finetune") for key in ("epochs=4", "validation_windows=64")),
    *("pretrain.windows_per_epoch=128", "finetune.windows_per_epoch=128", "evaluate.as_published=false"),
    *("cluster.workers=2", "cluster.cpus_per_worker=1"),
]
TRAININGS = ("pretrain", "scratch", "finetune")
TIMINGS = ("frames_per_second", "step_seconds", "data_seconds", "memory_peak_gib", "seconds", "mfu")
TARGETS, MOMENTS = ("worker", "driver", "group"), ("random", "step", "checkpoint", "stage begins")
MARK = "MIXSTE_DRILL"
EPOCH = re.compile(r"^\w+  epoch \S+", re.MULTILINE)
STAGE = re.compile(r"^Running stage '(.+)'", re.MULTILINE)
SHARE = 1 / 7  # of the undisturbed run's time: the latest of the random moments
QUERY = """
import json
from mlflow import MlflowClient
client, found = MlflowClient("sqlite:///mlflow.db"), []
for experiment in client.search_experiments():
    for run in client.search_runs([experiment.experiment_id]):
        points = {key: [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, key)]
                  for key in run.data.metrics if not key.startswith("system/")}
        found.append({"stage": run.data.tags["stage"], "status": run.info.status, "metrics": points})
print(json.dumps(found))
"""


@dataclass
class Tally:
    """What was done and found."""

    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    rounds: int = 0
    problems: list[str] = field(default_factory=list)


class Victim:
    """`dvc repro` in a session of its own, whose processes are known by a mark in their environment."""

    def __init__(self, checkout: Path) -> None:
        self.checkout, self.mark = checkout, f"{os.getpid()}-{time.monotonic_ns()}"
        self.log = (checkout / "drill.log").open("ab")
        self.process = subprocess.Popen(
            ["dvc", "repro"], cwd=checkout, env=environment(**{MARK: self.mark}), start_new_session=True,
            stdout=self.log, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def stage(self) -> str:
        """The stage that runs."""
        started = STAGE.findall((self.checkout / "drill.log").read_text(errors="replace"))
        return started[-1] if started else "none"

    def kill(self, target: str) -> bool:
        """Kill -9 a worker, the driver, or everything; False if there is none. What remains of a driver ends, too."""
        if target == "worker":
            others = {*self._named("ray::")} - {*self._named("Agent")}  # an agent's end is that of its machine
            workers = self._named("RayTrainWorker") or sorted(others)
            for pid in random.sample(workers, min(1, len(workers))):
                _kill(pid)
            return bool(workers)
        if target == "driver":
            drivers = self._named("-m pipelines.")
            for pid in drivers:
                _kill(pid)
            self.process.wait()
            return bool(drivers)
        for pid in self._named(""):
            _kill(pid)
        self.process.wait()
        return True

    def _named(self, text: str) -> list[int]:
        """Own processes whose command line holds a text."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() not in (place / "environ").read_bytes():
                    continue
                command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it ended meanwhile, or is somebody else's
                continue
            if text in command:
                found.append(int(place.name))
        return found


def main() -> None:
    """Run the drill and print its table; exit status 1 if anything was lost, doubled or different."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder that stays, instead of a temporary one")
    chosen = parser.parse_args()
    random.seed(chosen.seed)
    place = chosen.keep or Path(tempfile.mkdtemp(prefix="soak-"))
    print("an undisturbed run", flush=True)
    calm = make_checkout(place / "calm", *SETTINGS)
    started = time.monotonic()
    run("dvc", "repro", cwd=calm)
    took = time.monotonic() - started
    print(f"took {took:.0f} s", flush=True)
    tally = disturbed(make_checkout(place / "disturbed", *SETTINGS), calm, chosen.kills, SHARE * took)
    report(tally)
    if not chosen.keep:
        shutil.rmtree(place, ignore_errors=True)
    sys.exit(bool(tally.problems))


def disturbed(checkout: Path, calm: Path, kills: int, latest: float) -> Tally:
    """Rounds of kills, each to its end, until there were enough; random ones up to `latest` seconds after a start."""
    tally = Tally()
    while tally.kills.total() < kills:
        tally.rounds += 1
        _start_over(checkout)
        while _attempt(checkout, tally, kills, latest):
            pass
        tally.problems += [f"round {tally.rounds}: {problem}" for problem in compare(checkout, calm)]
        print(f"round {tally.rounds} ended: {tally.problems or 'the same in everything'}", flush=True)
    return tally


def compare(checkout: Path, calm: Path) -> list[str]:
    """What differs from the undisturbed run, was logged twice or not at all, or lies about half-written."""
    problems = []
    for stage, outputs in _locked(calm).items():
        problems += [f"{path} differs" for path, md5 in outputs.items() if _locked(checkout)[stage][path] != md5]
    expected, found = _logged(calm), _logged(checkout)
    for stage in TRAININGS:
        own = [one for one in found if one["stage"] == stage]
        if [one["status"] for one in own] != ["FINISHED"]:
            problems.append(f"{stage} has runs {[one['status'] for one in own]} in MLflow")
            continue
        (reference,) = [one for one in expected if one["stage"] == stage]
        problems += _differing(stage, own[0]["metrics"], reference["metrics"])
    written = ("datasets", "models", "reports", "runs")
    left = [path for name in written for path in checkout.glob(f"{name}/**/*.partial")]
    return problems + [f"{path} is left half-written" for path in left]


def report(tally: Tally) -> None:
    """Print what was done and what was found."""
    print(f"\n| kills | {tally.kills.total()} |\n|---|---|")
    print(f"| runs of the pipeline, starts of the command | {tally.rounds}, {tally.starts} |")
    for kind, count in sorted(tally.kills.items()):
        print(f"| {kind} | {count} |")
    print(f"| outputs, metrics or runs that differ, are missing or double | {len(tally.problems)} |")
    for problem in tally.problems:
        print(f"- {problem}")


def _attempt(checkout: Path, tally: Tally, kills: int, latest: float) -> bool:
    """Start the command and kill until it ends; True if it was killed, and must be started again."""
    victim, tally.starts, before = Victim(checkout), tally.starts + 1, tally.kills.total()
    while victim.alive():
        if tally.kills.total() >= kills:
            victim.process.wait()
            break
        target, moment = random.choice(TARGETS), random.choice(MOMENTS)  # noqa: S311  (no secret)
        _moment(moment, checkout, victim.alive, latest)
        if not victim.alive():
            break
        if not victim.kill(target):
            target = "group"
            victim.kill(target)
        tally.kills[f"{target}, {moment}"] += 1
        print(f"kill {tally.kills.total()}: {target}, {moment}, in {victim.stage()}", flush=True)
    if victim.process.returncode in (0, -signal.SIGKILL):
        return victim.process.returncode != 0
    text = (checkout / "drill.log").read_text(errors="replace")
    if "Traceback" in text.rpartition("Running stage")[2] or tally.kills.total() == before:
        tally.problems.append(f"a run ended with {victim.process.returncode}: {text[-400:]!r}")
        return len(tally.problems) < 3
    return True


def _moment(moment: str, checkout: Path, alive: Callable[[], bool], latest: float) -> None:
    """Wait for a moment to kill at, or for the command's end: what comes first."""
    if moment == "random":
        seen, after = None, latest * random.random()  # noqa: S311  (no secret)
    else:
        seen, after = SEEN[moment], random.uniform(0.0, 3.0) if moment == "step" else 0.0  # noqa: S311  (no secret)
    before = seen(checkout) if seen else set()
    while seen and alive() and not seen(checkout) - before:
        time.sleep(0.005)
    end = time.monotonic() + after
    while alive() and time.monotonic() < end:
        time.sleep(0.005)


def _checkpoints(checkout: Path) -> set[str]:
    walked = os.walk(checkout / "runs")  # which does not mind that a folder is gone meanwhile
    return {f"{place}/{name}" for place, names, _ in walked for name in names if name.startswith("checkpoint_")}


def _printed(text: re.Pattern[str]) -> Callable[[Path], set[str]]:
    return lambda checkout: set(text.findall((checkout / "drill.log").read_text(errors="replace")))


# what is new at each of the moments; all of them get on with the round
SEEN = {"step": _printed(EPOCH), "checkpoint": _checkpoints, "stage begins": _printed(STAGE)}


def _start_over(checkout: Path) -> None:
    """Forget the round before, but not the data."""
    for name in ("datasets", "models", "reports", "runs", "mlartifacts", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(checkout / name, ignore_errors=True)
    for path in (*checkout.glob("mlflow.db*"), checkout / "dvc.lock", checkout / "drill.log"):
        path.unlink(missing_ok=True)


def _locked(checkout: Path) -> dict[str, dict[str, str]]:
    lock = yaml.safe_load((checkout / "dvc.lock").read_text())
    return {name: {out["path"]: out["md5"] for out in stage["outs"]} for name, stage in lock["stages"].items()}


def _logged(checkout: Path) -> list[dict]:
    return json.loads(run("python", "-W", "ignore", "-c", QUERY, cwd=checkout).splitlines()[-1])


def _differing(stage: str, found: dict, reference: dict) -> list[str]:
    problems = []
    for key, expected in reference.items():
        steps = [step for step, _ in found.get(key, [])]
        if sorted(steps) != [step for step, _ in sorted(expected)]:
            problems.append(f"{stage}: {key} was logged for the steps {steps}")
        elif key not in TIMINGS and sorted(found[key]) != sorted(expected):
            problems.append(f"{stage}: {key} has other values")
    return problems


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
