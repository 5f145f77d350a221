"""`dvc repro` with one Ray for all stages: `make repro`, or `python -m pipelines.repro [ARGUMENTS OF DVC REPRO]`.

A plain `dvc repro` does the same; there, each stage starts a Ray of its own, which takes it some seconds, and the
stages run one after the other. Here, pre-training and training from scratch run at once where there are cores for both;
where there are not, one waits for the other's.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from pipelines import cluster
from pipelines.params import load
from pipelines.process.stage import run
from pipelines.tracking import store

AT_ONCE = ("pretrain", "scratch")  # both read what `project` writes, neither what the other does
HEAD_START_S = 20.0  # for the first, which is the longer: two that start at once slow each other
Steps = Sequence[Sequence[Sequence[str]]]


def reproduce(arguments: Sequence[str]) -> int:
    """Run `dvc repro` and return its exit status; its stages join the named cluster, or one started for them.

    MixsteError if MLFLOW_TRACKING_URI can never work, before anything starts.
    """
    store.default_store()
    settings, environment = load().cluster, dict(os.environ)
    steps: Steps = [[arguments]]
    own = not (settings.address or "RAY_ADDRESS" in environment)
    changed = _changed(arguments) if own else set()
    if changed is None or changed:
        cluster.connect(dashboard=settings.dashboard)
        environment |= cluster.way_to_join()
    if changed and changed.issuperset(AT_ONCE) and not arguments and not settings.gpus_per_worker:
        steps = [[["project"]], [["--single-item", stage] for stage in AT_ONCE], [[]]]
    before = signal.signal(signal.SIGINT, lambda *_: None)  # the stage gets it, too, and says how to go on
    try:
        return next((status for step in steps if (status := _run(step, environment))), 0)
    finally:
        signal.signal(signal.SIGINT, before)


def _run(step: Sequence[Sequence[str]], environment: Mapping[str, str]) -> int:
    """Run a `dvc repro` for each of these arguments, beside each other, to their ends; the first status but 0, or 0."""
    running: list[subprocess.Popen[bytes]] = []
    dvc = ["dvc", "--wait-for-lock"] if len(step) > 1 else ["dvc"]  # each holds it while it reads and writes dvc.lock
    for arguments in step:
        with suppress(subprocess.TimeoutExpired):
            if running and (status := running[-1].wait(HEAD_START_S)):
                return status
        running.append(subprocess.Popen([*dvc, "repro", *arguments], env=environment))
    return next((status for status in [process.wait() for process in running] if status), 0)


def _changed(arguments: Sequence[str]) -> set[str] | None:
    """The stages among the targets that are not as DVC last saw them; None if it cannot be known what will run."""
    if any(argument.startswith("-") for argument in arguments):  # --force and others run what has not changed
        return None
    asked = ["dvc", "status", "--json", *(arguments or ["dvc.yaml"])]  # without a target DVC looks at the study, too
    answer = subprocess.run(asked, capture_output=True, text=True)
    return {*json.loads(answer.stdout)} if answer.returncode == 0 else None


def main() -> None:
    """End as `dvc repro` ended."""
    raise SystemExit(reproduce(sys.argv[1:]))


if __name__ == "__main__":
    run(main)
