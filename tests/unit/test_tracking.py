"""Tracking: one run a stage in a store of its own, resumed by its folder, and never in the way of the stage."""

import hashlib
import json
import logging
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from pipelines import store, tracking
from pipelines.environment import set_environment
from pipelines.params import Params, load
from pipelines.provenance import data_hash, git_state

DEAD = "http://127.0.0.1:1"


@pytest.fixture
def params(tracked_workplace: Path) -> Params:
    return load()


def last(stage: str):
    run_id = tracking.last_run(stage)
    assert run_id is not None
    return store.client(store.tracking_uri()).get_run(run_id)


def test_a_stage_is_one_run_with_everything(params: Params, caplog: pytest.LogCaptureFixture):
    from matplotlib.figure import Figure

    with tracking.run("pretrain", params, data_hash="a" * 32 + ".dir") as run:
        for epoch in range(3):
            run.log_metrics({"loss": 1.0 / (epoch + 1)}, step=epoch)
        run.log_figure(Figure(), "curve.png")
        run.log_figure(Path("params.yaml"))
        run.set_tags({"best_epoch": 2})
    logged = last("pretrain")
    assert logged.info.status == "FINISHED"
    assert logged.data.params["model.width"] == str(params.model.width)
    assert logged.data.params["data.sources.0.format"] == "bvh"
    assert logged.data.metrics["loss"] == pytest.approx(1 / 3)
    assert logged.data.tags["best_epoch"] == "2"
    assert logged.data.tags["data_hash"] == "a" * 32 + ".dir"
    assert logged.data.tags["mlflow.source.git.commit"] == git_state()[0]
    assert logged.data.tags["git_dirty"] in ("true", "false")
    assert logged.inputs.dataset_inputs[0].dataset.digest == "a" * 32 + ".dir"
    files = {item.path for item in store.client(store.tracking_uri()).list_artifacts(logged.info.run_id)}
    assert files == {"curve.png", "params.yaml"}
    assert logged.info.artifact_uri.startswith(Path("mlartifacts").resolve().as_uri())
    assert "not logged" not in caplog.text


def test_a_stage_names_the_run_it_builds_on(params: Params):
    with tracking.run("pretrain", params):
        pass
    with tracking.run("finetune", params, parent="pretrain"):
        pass
    assert last("finetune").data.tags["mlflow.parentRunId"] == tracking.last_run("pretrain")


def test_a_killed_stage_goes_on_with_its_run(params: Params):
    folder = Path("runs/pretrain-1")
    with pytest.raises(KeyboardInterrupt), tracking.run("pretrain", params, folder=folder) as run:
        run.log_metrics({"loss": 2.0}, step=0)
        raise KeyboardInterrupt
    assert store.client(run.handle.uri).get_run(run.handle.run_id).info.status == "KILLED"
    with tracking.run("pretrain", params, folder=folder) as resumed:
        resumed.log_metrics({"loss": 1.0}, step=1)
    assert resumed.handle == run.handle
    history = store.client(run.handle.uri).get_metric_history(run.handle.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(0, 2.0), (1, 1.0)]


def test_a_child_is_gone_on_with_and_knows_its_steps(params: Params, tmp_path: Path):
    with tracking.run("sweep", params) as run:
        for _ in range(2):
            child = run.child("trial 3", params.tracking.experiment, {"stage": "sweep trial"}, tmp_path / "003")
            first = child.steps("loss")
            child.log_metrics({"loss": 1.0}, step=first + 1)
        child.end("FINISHED")
    assert (first, child.steps("loss")) == (1, 2)
    above = last("sweep")
    found = store.client(store.tracking_uri()).search_runs(
        [above.info.experiment_id], f"tags.`mlflow.parentRunId` = '{above.info.run_id}'"
    )
    assert [(one.info.run_name, one.info.status, one.data.tags["stage"]) for one in found] == [
        ("trial 3", "FINISHED", "sweep trial")
    ]


def test_without_a_store_a_child_is_nobodys(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    with tracking.run("sweep", params) as run:
        child = run.child("trial 0", params.tracking.experiment, {}, tmp_path)
    assert (child.handle, child.steps("loss")) == (None, 0)


def test_a_run_deleted_on_the_server_is_begun_anew(params: Params):
    folder = Path("runs/pretrain-1")
    with tracking.run("pretrain", params, folder=folder) as run:
        pass
    store.client(run.handle.uri).delete_run(run.handle.run_id)
    with tracking.run("pretrain", params, folder=folder) as again:
        pass
    assert again.handle.run_id != run.handle.run_id


def test_a_failed_stage_is_marked_and_its_error_kept(params: Params):
    with pytest.raises(ValueError, match="broken"), tracking.run("evaluate", params) as run:
        raise ValueError("broken")
    assert store.client(run.handle.uri).get_run(run.handle.run_id).info.status == "FAILED"
    assert tracking.last_run("evaluate") is None


def test_a_dead_server_costs_seconds_and_a_warning(
    params: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    Path("mlflow.db").unlink()
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING), tracking.run("pretrain", params) as run:
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_metrics({"loss": 0.5}, step=2)
        run.log_figure(Path("params.yaml"))
    assert time.monotonic() - begun < 10
    assert sum(f"MLflow at {DEAD} does not answer" in record.message for record in caplog.records) == 1
    assert "not logged to MLflow: parameters, metrics from step 1 on, params.yaml, status FINISHED" in caplog.text
    assert not Path("mlflow.db").exists()


def test_a_server_that_dies_midway_costs_seconds(params: Params, caplog: pytest.LogCaptureFixture):
    run = tracking.Tracked(store.Handle(DEAD, "0" * 32))
    begun = time.monotonic()
    for step in range(5):
        run.log_metrics({"loss": 1.0}, step=step)
    run.end("FINISHED")
    assert time.monotonic() - begun < 15
    assert run.missed[0] == "metrics from step 0 on"
    assert "not logged to MLflow" in caplog.text


@pytest.fixture
def no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "")  # so that what is set below is undone
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_the_timeout_of_the_settings_is_that_of_every_request(params: Params, no_timeout: None):
    set_environment()
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
    with tracking.run("pretrain", replace(params, tracking=replace(params.tracking, timeout=7))):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"


def test_the_users_own_timeout_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "33")
    store.wait_at_most(7)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "33"


def test_a_server_that_falls_silent_midway_costs_its_timeout(
    params: Params, no_timeout: None, silent: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    store.wait_at_most(1)
    begun = time.monotonic()
    tracking.Tracked(store.Handle(silent, "0" * 32)).log_metrics({"loss": 1.0})
    assert time.monotonic() - begun < 10
    assert f"MLflow at {silent} does not answer" in caplog.text


def test_a_fault_of_another_kind_is_not_called_silence(
    params: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING), tracking.run("pretrain", params) as run:
        run.log_figure(Path("none.png"))
    assert "failed (" in caplog.text
    assert "none.png" in caplog.text
    assert "does not answer" not in caplog.text
    caplog.clear()
    monkeypatch.setattr(store, "open_run", lambda *_: {}["experiment"])
    with caplog.at_level(logging.WARNING), tracking.run("pretrain", params) as run:
        assert run.handle is None
    assert "failed (KeyError: 'experiment')" in caplog.text
    assert "does not answer" not in caplog.text


def test_silence_is_told_from_other_faults():
    def raised(cause: Exception) -> Exception:
        try:
            try:
                raise cause
            except Exception as error:
                raise RuntimeError("API request failed") from error
        except RuntimeError as error:
            return error

    silence = (requests.ReadTimeout(), ConnectionResetError(), TimeoutError(), requests.ConnectionError())
    assert all(store.unreachable(error) and store.unreachable(raised(error)) for error in silence)
    others = (OSError(28, "No space left on device"), FileNotFoundError(), KeyError("x"), ValueError("x"))
    assert not any(store.unreachable(error) or store.unreachable(raised(error)) for error in others)


def test_a_tracked_run_can_be_sent_to_another_process(params: Params):
    with tracking.run("pretrain", params) as run:
        pickle.loads(pickle.dumps(run)).log_metrics({"loss": 3.0}, step=0)  # noqa: S301  (Ray sends it so)
    assert last("pretrain").data.metrics["loss"] == 3.0


def test_mlflow_is_imported_only_when_it_is_needed(root: Path):
    code = "import sys, pipelines.tracking, pipelines.params; sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


def test_data_hash_is_what_dvc_computes(tmp_path: Path):
    (tmp_path / "data" / "below").mkdir(parents=True)
    (tmp_path / "data" / "b.txt").write_text("two")
    (tmp_path / "data" / "below" / "a.txt").write_text("one")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data"], cwd=tmp_path, check=True)
    recorded = (tmp_path / "data.dvc").read_text()
    assert data_hash(tmp_path / "data") in recorded
    assert data_hash(tmp_path / "data" / "b.txt") == hashlib.md5(b"two").hexdigest()  # noqa: S324


def test_data_hash_of_several_paths_does_not_depend_on_their_order(tmp_path: Path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_text(path.name)
    assert data_hash(paths) == data_hash(paths[::-1]) != data_hash(paths[:1])


def test_outside_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == ("unknown", True)


def test_flatten_gives_dotted_keys():
    assert tracking.flatten({"a": {"b": 1, "c": [{"d": 2}]}, "e": (1, 2)}) == {"a.b": 1, "a.c.0.d": 2, "e": (1, 2)}


def test_the_last_run_of_another_store_is_not_taken(params: Params):
    path = Path("runs/tracking/pretrain.json")
    store.remember(path, store.Handle("http://elsewhere", "1" * 32))
    assert tracking.last_run("pretrain") is None
    assert json.loads(path.read_text())["run_id"] == "1" * 32
