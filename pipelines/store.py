"""MLflow's client calls below tracking and registration: open a run, log to it, remember its id."""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import requests

from mixste.files import whole_file
from pipelines.environment import set_environment

RUN_FILE = "mlflow-run.json"
_BATCH = 100
_DIGEST = 36
_SILENCE = (requests.RequestException, ConnectionError, TimeoutError, socket.gaierror)


@dataclass(frozen=True)
class Handle:
    """What any process needs to log into a run: the store and the run's id."""

    uri: str
    run_id: str


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or the sqlite file at the root of this checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path('mlflow.db').resolve()}"


@cache
def client(uri: str) -> Any:
    """Return the MlflowClient of a store, with retries that end within seconds."""
    set_environment()
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


def wait_at_most(timeout: float) -> None:
    """Let every later request of this process wait `timeout` seconds, unless MLFLOW_HTTP_REQUEST_TIMEOUT is set."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, round(timeout))))


def reach(uri: str, timeout: float) -> None:
    """Raise ConnectionError if `uri` is a server that does not answer within `timeout` seconds."""
    if uri.startswith(("http://", "https://")):
        try:
            requests.get(f"{uri.rstrip('/')}/health", timeout=timeout)
        except requests.RequestException as error:
            raise ConnectionError(f"{type(error).__name__} within {timeout:g} seconds") from error


def unreachable(error: BaseException | None) -> bool:
    """Say whether an error, or one that it was raised from, is that of a server that does not answer."""
    while error is not None:
        if isinstance(error, _SILENCE):
            return True
        error = error.__cause__ or error.__context__
    return False


def open_run(uri: str, experiment: str, name: str, tags: Mapping[str, str], folder: Path | None) -> Handle:
    """Start a run, or go on with the one that was begun in `folder`."""
    begun = _begun(uri, folder)
    if begun is not None:
        client(uri).update_run(begun.run_id, status="RUNNING")
        return begun
    run = client(uri).create_run(_experiment(uri, experiment), run_name=name, tags=dict(tags))
    handle = Handle(uri, run.info.run_id)
    if folder is not None:
        remember(folder / RUN_FILE, handle)
    return handle


def remember(path: Path, handle: Handle) -> None:
    """Write a handle to a file."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(asdict(handle)), encoding="utf-8")


def remembered(path: Path) -> Handle | None:
    """Return the handle in a file; None if there is none."""
    try:
        return Handle(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def log_params(uri: str, run_id: str, params: Mapping[str, object]) -> None:
    """Log parameters; those the run already has stay, because MLflow refuses to change them."""
    from mlflow.entities import Param

    known = client(uri).get_run(run_id).data.params
    new = [Param(key, str(value)) for key, value in params.items() if key not in known]
    for start in range(0, len(new), _BATCH):
        client(uri).log_batch(run_id, params=new[start : start + _BATCH])


def log_dataset(uri: str, run_id: str, name: str, digest: str, path: Path, context: str) -> None:
    """Log a data set's name, hash and place as input of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": str(path)})
    dataset = Dataset(name, digest[:_DIGEST], "local", source)
    client(uri).log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])


def _begun(uri: str, folder: Path | None) -> Handle | None:
    """Return the run that was begun in `folder`, unless it is of another store or was deleted there."""
    from mlflow.exceptions import MlflowException

    handle = None if folder is None else remembered(folder / RUN_FILE)
    if handle is None or handle.uri != uri:
        return None
    try:
        run = client(uri).get_run(handle.run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return handle if run.info.lifecycle_stage == "active" else None


def _experiment(uri: str, name: str) -> str:
    found = client(uri).get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    place = Path("mlartifacts").resolve().as_uri() if uri.startswith("sqlite:") else None
    return str(client(uri).create_experiment(name, artifact_location=place))
