"""Open MLflow's pages at the comparison of the fine-tunings: `python -m pipelines.ui [PORT]`."""

import json
import logging
import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from urllib.parse import quote

from mixste.errors import MixsteError
from pipelines import store, tracking
from pipelines.params import load
from pipelines.stage import run

COMPARED = ("pretrain", "scratch", "finetune")
log = logging.getLogger(__name__)


def comparison(address: str, uri: str, experiment: str) -> str:
    """Return the address of the page that compares the last runs of the trainings, or of all runs if there are none."""
    found = store.client(uri).get_experiment_by_name(experiment)
    runs = [run_id for run_id in map(tracking.last_run, COMPARED) if run_id]
    if found is None:
        return address
    if len(runs) < 2:
        return f"{address}/#/experiments/{found.experiment_id}"
    experiments = quote(json.dumps([found.experiment_id]))
    return f"{address}/#/compare-runs?runs={quote(json.dumps(runs))}&experiments={experiments}"


def serve(uri: str, port: int) -> "subprocess.Popen[bytes]":
    """Start MLflow's server on this machine only, and wait until it answers."""
    server = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", uri, "--artifacts-destination", str(Path("mlartifacts").resolve()),
        ]
    )  # fmt: skip
    for _ in range(60):
        time.sleep(1)
        if server.poll() is not None:
            raise MixsteError("MLflow's server did not start", mend=f"another port may help: make ui PORT={port + 1}")
        try:
            store.reach(f"http://127.0.0.1:{port}", 2)
        except ConnectionError:
            continue
        return server
    server.terminate()
    raise MixsteError("MLflow's server did not answer within a minute")


def main() -> None:
    """Serve the sqlite store, or use the server of MLFLOW_TRACKING_URI, and open the browser."""
    uri, port = store.tracking_uri(), int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    experiment = load().tracking.experiment
    if uri.startswith("http"):
        webbrowser.open(comparison(uri.rstrip("/"), uri, experiment))
        return
    server = serve(uri, port)
    page = comparison(f"http://127.0.0.1:{port}", uri, experiment)
    log.info("\n%s\n(stop with Ctrl-C)", page)
    webbrowser.open(page)
    try:
        server.wait()
    finally:
        server.terminate()


if __name__ == "__main__":
    run(main)
