"""Open MLflow's pages at the comparison of the fine-tunings: `python -m pipelines.ui [PORT]`."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from mixste.errors import MixsteError, shown
from pipelines import tracking
from pipelines.params import load
from pipelines.places import MODELS
from pipelines.process.ports import refuse_taken
from pipelines.process.stage import run
from pipelines.settings import TrackingSettings
from pipelines.tracking import store

log = logging.getLogger(__name__)


def comparison(address: str, uri: str, experiment: str) -> str:
    """Return the address of the page that compares the runs which trained `models/`, or of all runs without them."""
    found = store.client(uri).get_experiment_by_name(experiment)
    runs = [run_id for folder in MODELS.values() if folder.exists() and (run_id := tracking.run_of(folder))]
    if found is None:
        return address
    if len(runs) < 2:
        return f"{address}/#/experiments/{found.experiment_id}"
    experiments = quote(json.dumps([found.experiment_id]))
    return f"{address}/#/compare-runs?runs={quote(json.dumps(runs))}&experiments={experiments}"


@contextmanager
def served(uri: str, port: int) -> Iterator[str]:
    """Run MLflow's server for this machine only and yield its address; MixsteError if the port is taken."""
    refuse_taken("127.0.0.1", port, "make ui PORT=")
    server = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", uri, "--artifacts-destination", str(Path("mlartifacts").resolve()),
        ],
        start_new_session=True,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )  # fmt: skip
    try:
        yield _answering(server, f"http://127.0.0.1:{port}")
        server.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)


def _answering(server: "subprocess.Popen[bytes]", address: str) -> str:
    for _ in range(60):
        time.sleep(1)
        if server.poll() is not None:
            break
        with contextlib.suppress(ConnectionError):
            store.knock(address, 2)
            return address
    raise MixsteError("MLflow's server did not start", mend="its own message is above")


def chosen_port(arguments: Sequence[str]) -> int:
    """Return the first argument as a port, 5000 without one; MixsteError if it is none."""
    text = arguments[0] if arguments else "5000"
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise MixsteError("no such port", found=text, expected="a number from 1 to 65535", mend="make ui PORT=5000")
    return int(text)


def remote(uri: str, settings: TrackingSettings) -> str:
    """Return the page to open on the server `uri`; MixsteError if it does not answer or is not MLflow."""
    store.wait_at_most(settings.timeout)
    try:
        store.knock(uri, settings.timeout)
        return comparison(uri.rstrip("/"), uri, settings.experiment)
    except Exception as error:  # MLflow raises its own kinds, and what it makes of another server's pages
        raise MixsteError(
            f"cannot use MLFLOW_TRACKING_URI {uri}",
            found=error,
            expected="an MLflow server that answers",
            mend="start that server, or unset MLFLOW_TRACKING_URI for the store in this folder",
        ) from error


def main() -> None:
    """Serve the sqlite store, or use the server of MLFLOW_TRACKING_URI, and open the browser."""
    uri, port = store.default_store(), chosen_port(sys.argv[1:])
    settings = load().tracking
    if uri.startswith("http"):
        page = remote(uri, settings)
        log.info("\n%s", shown(page))
        webbrowser.open(page)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with served(uri, port) as address:
        page = comparison(address, uri, settings.experiment)
        log.info("\n%s\n(stop with Ctrl-C)", page)
        webbrowser.open(page)


if __name__ == "__main__":
    run(main)
