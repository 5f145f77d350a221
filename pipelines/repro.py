"""`dvc repro` with one Ray for all stages: `make repro`, or `python -m pipelines.repro [ARGUMENTS OF DVC REPRO]`.

A plain `dvc repro` does the same; there, each stage starts a Ray of its own, which takes it some seconds.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from pipelines import cluster
from pipelines.params import load
from pipelines.stage import run


def reproduce(arguments: Sequence[str]) -> int:
    """Run `dvc repro` and return its exit status; its stages join the named cluster, or one started for them."""
    settings, environment = load().cluster, dict(os.environ)
    if not (settings.address or "RAY_ADDRESS" in environment) and _anything_to_do(arguments):
        cluster.connect(dashboard=settings.dashboard)
        environment |= cluster.way_to_join()
    before = signal.signal(signal.SIGINT, lambda *_: None)  # the stage gets it, too, and says how to go on
    try:
        return subprocess.call(["dvc", "repro", *arguments], env=environment)
    finally:
        signal.signal(signal.SIGINT, before)


def _anything_to_do(arguments: Sequence[str]) -> bool:
    targets = [argument for argument in arguments if not argument.startswith("-")]
    if targets != list(arguments):  # --force and others run what has not changed
        return True
    asked = targets or ["dvc.yaml"]  # of all files, as `dvc status` alone looks, `dvc repro` alone runs this one
    return subprocess.run(["dvc", "status", "--quiet", *asked], capture_output=True).returncode != 0


def main() -> None:
    """End as `dvc repro` ended."""
    raise SystemExit(reproduce(sys.argv[1:]))


if __name__ == "__main__":
    run(main)
