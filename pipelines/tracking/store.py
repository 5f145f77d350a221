"""MLflow's client calls below tracking and registration; each may be repeated without doubling anything."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import requests

from mixste.errors import shown
from mixste.registry import ANSWER, default_store, is_server, knock, own_store, store_uri
from pipelines.process.environment import set_environment

MARK = "outbox"  # the tag by which a run is found again
PARENT = "mlflow.parentRunId"
TRANSFER_S = 600  # a server may answer only once its own storage has all of a file
_SECONDS = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_ours: set[str] = set()  # values of _SECONDS that are not the user's
_one_transfer = threading.Lock()
_transfer: dict[str, float | None] = {"began": None, "ended": None}  # by time.monotonic()
_BATCH, _METRICS = 100, 1000
_DIGEST = 36
_SILENCE = (requests.ConnectionError, requests.Timeout, ConnectionError, TimeoutError, socket.gaierror)
_FINAL = {"BAD_REQUEST", "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}
_FINAL_STATUS = {400, 404, 409, 411, 413, 414, 415, 422, 431}

__all__ = ["MARK", "default_store", "is_server", "knock", "store_uri"]  # the library's, beside what is here


@dataclass(frozen=True)
class Handle:
    """What any process needs to log into a run: the store and the run's id."""

    uri: str
    run_id: str


def name() -> str:
    """Return what the store in use is called in files and for people: without password, the checkout's own by its file.

    So results in two checkouts are alike.
    """
    uri = default_store()
    return "mlflow.db" if uri == own_store() else shown(uri)


class TransferError(Exception):
    """The store answers, but a file did not get through."""


@cache
def client(uri: str) -> Any:
    """Return the MlflowClient of a store, with retries that end within seconds."""
    set_environment()
    if shown(uri) != uri:
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # it prints the password, too
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


def wait_at_most(timeout: float) -> None:
    """Let every later request of this process wait `timeout` seconds, unless MLFLOW_HTTP_REQUEST_TIMEOUT is set.

    Those of a `transfer` wait longer.
    """
    if _SECONDS not in os.environ:
        os.environ[_SECONDS] = str(max(1, round(timeout)))
        _ours.add(os.environ[_SECONDS])


@contextmanager
def transfer(uri: str) -> Iterator[None]:
    """Let requests wait as long as files may take, unless the user says how long; one transfer at a time.

    Raises ConnectionError if the store does not answer, and TransferError if it does, but not to the files.
    """
    with _one_transfer:
        knock(uri, ANSWER)
        before = os.environ.get(_SECONDS)
        if before is None or before in _ours:
            os.environ[_SECONDS] = str(TRANSFER_S)
        _transfer["began"] = time.monotonic()
        try:
            yield
        except Exception as error:
            if not unreachable(error):
                raise
            knock(uri, ANSWER)
            root: BaseException = error
            while inner := root.__cause__ or root.__context__:
                root = inner
            why = f"it answers, but a file did not get through ({reason(root)}; {_SECONDS}={os.environ[_SECONDS]})"
            raise TransferError(why) from error
        finally:
            if before is None:
                os.environ.pop(_SECONDS)
            else:
                os.environ[_SECONDS] = before
            _transfer.update(began=None, ended=time.monotonic())


def silent(since: float, patience: float) -> bool:
    """Say whether nothing has moved for longer than `patience` seconds, since then or since a transfer's end.

    A transfer that is on its way has TRANSFER_S from its begin.
    """
    now, began, ended = time.monotonic(), _transfer["began"], _transfer["ended"]
    if began is not None:
        return now - began > max(patience, TRANSFER_S)
    return now - max(since, ended or since) > patience


def unreachable(error: BaseException | None) -> bool:
    """Say whether an error, or one that it was raised from, is that of a server that does not answer."""
    while error is not None and not isinstance(error, TransferError):
        if isinstance(error, _SILENCE):
            return True
        error = error.__cause__ or error.__context__
    return False


def refuses(error: Exception) -> bool:
    """Say whether an error is the store's last word on an operation: sent again it would be refused again."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code in _FINAL_STATUS
    return getattr(error, "error_code", None) in _FINAL and not unreachable(error)


def reason(error: BaseException) -> str:
    """The first line of an error's message as it may be printed, or its kind."""
    return shown((str(error).splitlines() or [""])[0])[:160] or type(error).__name__


def find_run(uri: str, tag: str, value: str) -> str | None:
    """Return the id of the newest run of any experiment whose tag has this value; None if there is none."""
    experiments = [one.experiment_id for one in client(uri).search_experiments()]
    found = client(uri).search_runs(
        experiments, f"tags.`{tag}` = '{value}'", max_results=1, order_by=["attributes.start_time DESC"]
    )
    return str(found[0].info.run_id) if found else None


def tags_of(uri: str, run_id: str) -> dict[str, str]:
    """Return a run's tags."""
    return dict(client(uri).get_run(run_id).data.tags)


def active(uri: str, run_id: str) -> bool:
    """Say whether a run is there and was not deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client(uri).get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def open_run(uri: str, experiment: str, name: str, mark: str, tags: Mapping[str, str], began: int) -> str:
    """Return the id of the run with this mark, which is made if it isn't there; `began` is in milliseconds."""
    found = find_run(uri, MARK, mark)
    if found is not None:
        return found
    run = client(uri).create_run(
        _experiment(uri, experiment), start_time=began, run_name=name, tags={**tags, MARK: mark}
    )
    return str(run.info.run_id)


def set_status(uri: str, run_id: str, status: str, ended: int) -> None:
    """Set a run's status, and with any but RUNNING the time of its end, in milliseconds."""
    if status == "RUNNING":
        client(uri).update_run(run_id, status=status)
    else:
        client(uri).set_terminated(run_id, status, ended)


def log_params(uri: str, run_id: str, params: Mapping[str, str]) -> None:
    """Log parameters; those the run already has stay, because MLflow refuses to change them."""
    from mlflow.entities import Param

    known = client(uri).get_run(run_id).data.params
    new = [Param(key, value) for key, value in params.items() if key not in known]
    for start in range(0, len(new), _BATCH):
        client(uri).log_batch(run_id, params=new[start : start + _BATCH])


def log_metrics(uri: str, run_id: str, metrics: Sequence[tuple[str, float, int, int]]) -> None:
    """Log (key, value, milliseconds, step); MLflow keeps one of those that are alike in all four."""
    from mlflow.entities import Metric

    for start in range(0, len(metrics), _METRICS):
        client(uri).log_batch(run_id, metrics=[Metric(*metric) for metric in metrics[start : start + _METRICS]])


def log_tags(uri: str, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run."""
    from mlflow.entities import RunTag

    every = [RunTag(key, value) for key, value in tags.items()]
    for start in range(0, len(every), _BATCH):
        client(uri).log_batch(run_id, tags=every[start : start + _BATCH])


def log_file(uri: str, run_id: str, path: Path, folder: str) -> None:
    """Put a file, or a folder with all that is in it, below `folder` of a run's artifacts."""
    with transfer(uri):
        client(uri).log_artifact(run_id, str(path), folder or None)


def log_dataset(uri: str, run_id: str, name: str, digest: str, source: str, context: str) -> None:
    """Log a data set's name, hash and place as input of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(name, digest[:_DIGEST], "local", json.dumps({"uri": source}))
    client(uri).log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])


def _experiment(uri: str, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client(uri).get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    place = None
    if uri.startswith("sqlite:"):
        place = Path(uri.removeprefix("sqlite:///")).resolve().with_name("mlartifacts").as_uri()
    try:
        return str(client(uri).create_experiment(name, artifact_location=place))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return str(client(uri).get_experiment_by_name(name).experiment_id)
