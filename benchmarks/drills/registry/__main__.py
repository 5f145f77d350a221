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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random

from benchmarks.drills import checkout
from benchmarks.drills.registry.drill import Drill
from benchmarks.drills.registry.folders import write_rig
from benchmarks.drills.registry.rollbacks import lineage_outlives_runs, rollbacks
from benchmarks.drills.registry.rounds import round_of
from pipelines.params import write
from pipelines.tracking import store

PRELOADED = ["benchmarks.drills.registry.drill", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store"]
COLUMNS = ("rounds", "registrations", "killed -9", "tried again", "rollbacks", "runs deleted", "checks")


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
    for _ in range(180):
        if process.poll() is not None:
            raise RuntimeError("the server did not start")
        try:
            store.knock(uri, 1)
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


def settings(base: Path) -> None:
    """A folder under git with params.yaml and the rig, which every registration copies."""
    base.mkdir()
    params = write(["model=tiny", "model.width=8", "model.depth=1"], checkout.ROOT / "conf", base / "params.yaml")
    write_rig(params, base)
    for command in (("init", "-q"), ("add", "params.yaml"), ("commit", "-qm", "settings")):
        checkout.run("git", "-c", "user.name=drill", "-c", "user.email=drill@localhost", *command, cwd=base)


def print_table(drills: Mapping[str, Drill]) -> None:
    """Print what was counted, a row a store."""
    print(f"\n| store | versions | {' | '.join(COLUMNS)} | failures |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    for title, drill in drills.items():
        cells = [str(len(drill.entries)), *(str(drill.counts[name]) for name in COLUMNS), str(len(drill.failures))]
        print(f"| {title} | {' | '.join(cells)} |")


def main() -> None:
    """Run the drill and print its table; the status says whether everything held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="of each store")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    forkserver = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload(PRELOADED)
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
    print_table(drills)
    print(f"\n{time.monotonic() - begun:.0f} seconds")
    sys.exit(any(drill.failures for drill in drills.values()))


if __name__ == "__main__":
    main()
