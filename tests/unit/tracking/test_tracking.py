"""Tracking: one run a stage in a store of its own, resumed by its folder, and never in the way of the stage."""

import errno
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mixste.errors import MixsteError
from mixste.files.hashing import data_hash
from pipelines import sync, tracking
from pipelines.params import Params, load
from pipelines.process.environment import set_environment
from pipelines.provenance import git_state
from pipelines.tracking import store
from pipelines.tracking.outbox import Progress, outboxes

DEAD = "http://127.0.0.1:1"


@pytest.fixture
def params(tracked_workplace: Path) -> Params:
    settings = load()
    return replace(settings, tracking=replace(settings.tracking, system_metrics=None))


def last(stage: str):
    """The newest run of a stage in the store of the test."""
    uri = store.default_store()
    run_id = store.find_run(uri, "stage", stage)
    assert run_id is not None
    return store.client(uri).get_run(run_id)


def history(run, metric: str) -> list[tuple[int, float]]:
    found = store.client(store.default_store()).get_metric_history(run.info.run_id, metric)
    return [(one.step, one.value) for one in found]


def test_a_stage_is_one_run_with_everything(params: Params, caplog: pytest.LogCaptureFixture):
    with tracking.run("pretrain", params, data_hash="a" * 32 + ".dir") as run:
        for epoch in range(3):
            run.log_metrics({"loss": 1.0 / (epoch + 1)}, step=epoch)
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
    files = {item.path for item in store.client(store.default_store()).list_artifacts(logged.info.run_id)}
    assert files == {"params.yaml"}
    assert logged.info.artifact_uri.startswith(Path("mlartifacts").resolve().as_uri())
    assert not caplog.records


def test_an_experiment_of_dvc_in_a_folder_that_it_deletes_is_kept_with_the_checkouts(params: Params, monkeypatch):
    uri, artifacts = store.default_store(), Path("mlartifacts").resolve().as_uri()
    queued = Path(".dvc/tmp/exps/tmp0")
    queued.mkdir(parents=True)
    monkeypatch.chdir(queued)
    with tracking.run("evaluate", params):
        pass
    (found,) = store.client(uri).search_runs(["1"])
    assert found.info.artifact_uri.startswith(artifacts)


def test_a_stage_builds_on_the_run_that_made_what_it_reads_whenever_that_was(params: Params):
    made = Path("models/pretrained")
    made.mkdir(parents=True)
    runs = {}
    for settings in ("old", "new"):
        (made / "config.json").write_text(settings)
        with tracking.run("pretrain", params, output=made):
            pass
        runs[settings] = last("pretrain").info.run_id
    (made / "config.json").write_text("old")  # as `git checkout` and `dvc checkout` do
    with tracking.run("finetune", params, parent=made):
        pass
    assert last("finetune").data.tags["mlflow.parentRunId"] == runs["old"] == tracking.run_of(made)
    assert tracking.parent_of(last("finetune").info.run_id) == runs["old"]
    assert tracking.parent_of(runs["old"]) is tracking.parent_of("nowhere") is None
    assert tracking.run_of(data_hash(made)) == runs["old"]
    assert tracking.run_of("0" * 32) is tracking.run_of(Path("nowhere")) is None


def test_a_fresh_checkout_finds_the_runs_of_what_it_pulled(params: Params):
    made = Path("models/pretrained")
    made.mkdir(parents=True)
    (made / "config.json").write_text("pulled")
    with tracking.run("pretrain", params, output=made):
        pass
    shutil.rmtree("runs")
    with tracking.run("finetune", params, parent=made):
        pass
    assert last("finetune").data.tags["mlflow.parentRunId"] == last("pretrain").info.run_id


def test_a_failed_stage_made_nothing(params: Params):
    with pytest.raises(ValueError, match="broken"), tracking.run("evaluate", params, output=Path("conf")):
        raise ValueError("broken")
    assert last("evaluate").info.status == "FAILED"
    assert tracking.run_of(Path("conf")) is None


def test_a_killed_stage_goes_on_with_its_run_and_may_report_epochs_again(params: Params):
    folder = Path("runs/pretrain-1")
    folder.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), tracking.run("pretrain", params, folder=folder) as run:
        run.log_metrics({"loss": 2.0}, step=0)
        raise KeyboardInterrupt
    killed = last("pretrain")
    assert killed.info.status == "KILLED"
    with tracking.run("pretrain", params, folder=folder) as resumed:
        resumed.log_metrics({"loss": 2.5}, step=0)
        resumed.log_metrics({"loss": 1.0}, step=1)
    ended = last("pretrain")
    assert (ended.info.run_id, ended.info.status) == (killed.info.run_id, "FINISHED")
    assert history(ended, "loss") == [(0, 2.0), (1, 1.0)]


def test_children_stand_below_their_run_and_are_gone_on_with(params: Params, tmp_path: Path):
    with tracking.run("sweep", params) as run:
        for _ in range(2):
            child = run.child("trial 3", {"stage": "sweep trial"}, tmp_path)
            child.log_metrics({"loss": 1.0}, step=1)
            child.end("FINISHED")
    found = store.client(store.default_store()).search_runs(
        [last("sweep").info.experiment_id], f"tags.`mlflow.parentRunId` = '{last('sweep').info.run_id}'"
    )
    assert [(one.info.run_name, one.info.status, one.data.tags["stage"]) for one in found] == [
        ("trial 3", "FINISHED", "sweep trial")
    ]
    assert history(found[0], "loss") == [(1, 1.0)]


def test_a_run_deleted_on_the_server_is_begun_anew(params: Params):
    folder = Path("runs/pretrain-1")
    folder.mkdir(parents=True)
    with tracking.run("pretrain", params, folder=folder):
        pass
    first = last("pretrain").info.run_id
    store.client(store.default_store()).delete_run(first)
    with tracking.run("pretrain", params, folder=folder):
        pass
    assert last("pretrain").info.run_id != first


def test_a_handle_is_of_a_run_that_is_there(params: Params):
    with tracking.run("register", params) as run:
        run.set_tags({"before": "1"})
        assert run.handle is not None
        logged = store.client(run.handle.uri).get_run(run.handle.run_id)
    assert logged.data.tags["before"] == "1"


def test_a_dead_server_costs_seconds_and_one_warning_and_gets_all_of_it_later(
    params: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING), tracking.run("sweep", params) as run:
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_metrics({"loss": 0.5}, step=2)
        run.log_figure(Path("params.yaml"))
        run.child("trial 0", {}, tmp_path).log_metrics({"loss": 1.0}, step=1)
        assert run.handle is None
    assert time.monotonic() - begun < 10
    (warning,) = [record.message for record in caplog.records]
    assert f"MLflow at {DEAD} does not answer (ConnectionError" in warning
    assert "sweep: the run itself, parameters, params.yaml, status FINISHED, metric loss of step 1 to 2" in warning
    assert "trial 0: the run itself, metric loss of step 1" in warning
    assert tracking.run_of("0" * 32) is None
    assert not Path("mlflow.db-journal").exists()


def test_a_uri_that_mlflow_can_never_use_ends_a_stage_before_it_begins(
    params: Params, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlflow.db"))
    refused = pytest.raises(MixsteError, match=f"MLFLOW_TRACKING_URI=sqlite:///{tmp_path}/mlflow.db")
    with refused, tracking.run("pretrain", params):
        pytest.fail("begun")
    assert not Path("runs").exists()


def test_what_waits_is_sent_by_the_next_stage(params: Params, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(store, "knock", away)
        with tracking.run("prepare", params, output=Path("conf")) as run:
            run.log_metrics({"frames": 5.0})
            run.log_figure(Path("params.yaml"))
        written = Path("params.yaml").read_text()
        Path("params.yaml").write_text("# changed since")
    with tracking.run("project", params, parent=Path("conf")):
        pass
    client, earlier = store.client(store.default_store()), last("prepare")
    assert history(earlier, "frames") == [(0, 5.0)]
    assert last("project").data.tags["mlflow.parentRunId"] == earlier.info.run_id
    assert Path(client.download_artifacts(earlier.info.run_id, "params.yaml")).read_text() == written


def away(*_: object) -> None:
    raise ConnectionError("refused")


def test_sync_sends_what_waits_and_says_what_is_left(
    params: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    with monkeypatch.context() as patch:
        patch.setattr(store, "knock", away)
        with tracking.run("prepare", params) as run:
            run.log_metrics({"frames": 5.0}, step=3)
        with pytest.raises(SystemExit):
            sync.main()
    assert "does not answer (refused)" in caplog.text
    assert "left: " in caplog.text
    assert "`rm -r runs/tracking/NAME` drops a run's" in caplog.text
    caplog.clear()
    sync.main()
    assert history(last("prepare"), "frames") == [(3, 5.0)]
    assert "prepare" in caplog.text
    assert "sent: " in caplog.text
    assert "metric frames of step 3" in caplog.text
    caplog.clear()
    sync.main()
    assert caplog.messages == ["nothing waits to be sent"]


def test_what_waits_for_a_store_that_is_gone_is_sent_to_another_as_the_docs_say(
    params: Params, monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path
):
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", DEAD)
        with tracking.run("sweep", params) as run:
            run.log_figure(Path("params.yaml"))
            run.child("trial 0", {"stage": "trial"}, tmp_path).log_metrics({"loss": 1.0}, step=1)
    outboxes()[0].note(Progress("a run of the store that is gone", 1))
    (code,) = re.findall(r"```bash\nold=.*?\n(.*?)```", (root / "docs/configuration.md").read_text(), re.DOTALL)
    uri = store.default_store()
    subprocess.run(["bash", "-c", f"old={DEAD} new={uri}\n{code}"], check=True)
    sync.main()
    assert store.tags_of(uri, last("trial").info.run_id)[store.PARENT] == last("sweep").info.run_id
    assert [file.path for file in store.client(uri).list_artifacts(last("sweep").info.run_id)] == ["params.yaml"]
    assert history(last("trial"), "loss") == [(1, 1.0)]


def test_a_full_disk_costs_the_record_and_not_the_stage(
    params: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        for module, name in ((os, "write"), (Path, "mkdir"), (Path, "write_text"), (shutil, "copyfile")):
            patch.setattr(module, name, full)
        with tracking.run("pretrain", params, folder=Path("runs/pretrain-1")) as run:
            run.log_metrics({"loss": 1.0}, step=1)
            run.log_figure(Path("params.yaml"))
            assert run.handle is None
    first, second = [record.message for record in caplog.records]
    assert "No space left on device" in first
    lost = "the run itself, parameters, status FINISHED, params.yaml, metric loss of step 1"
    assert second == f"not logged to MLflow: pretrain: {lost}"


def test_what_cannot_be_logged_is_named_and_does_not_end_the_stage(params: Params, caplog: pytest.LogCaptureFixture):
    with tracking.run("pretrain", params) as run:
        run.log_figure(Path("none.png"))
        run.log_metrics({"loss": "low"}, step=7)  # type: ignore[dict-item]
    assert last("pretrain").info.status == "FINISHED"
    assert "not logged to MLflow: pretrain: none.png, metric loss of step 7" in caplog.text


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


def test_a_password_of_the_server_is_neither_told_nor_kept(
    params: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "")  # so that it is undone
    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD.replace("//", "//me:secret@"))
    folder = Path("runs/pretrain-1")
    folder.mkdir(parents=True)
    for _ in range(2):
        with tracking.run("pretrain", params, folder=folder):
            tracking.run_of("0" * 32)
    with pytest.raises(SystemExit):
        sync.main()
    (outbox,) = outboxes()
    assert DEAD in outbox.journal.read_text()
    assert DEAD in caplog.text
    assert "secret" not in outbox.journal.read_text() + caplog.text
    assert os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "true"  # by MLflow itself


def test_a_silent_server_costs_its_timeout(
    params: Params, no_timeout: None, silent: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
    begun = time.monotonic()
    with tracking.run("pretrain", replace(params, tracking=replace(params.tracking, timeout=1))) as run:
        run.log_metrics({"loss": 1.0})
    assert time.monotonic() - begun < 10
    assert f"MLflow at {silent} does not answer" in caplog.text


def test_a_fault_of_another_kind_is_not_called_silence(
    params: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(store, "open_run", lambda *_: {}["experiment"])
    with caplog.at_level(logging.WARNING), tracking.run("pretrain", params) as run:
        assert run.handle is None
    assert "failed (KeyError: 'experiment'); kept in runs/tracking" in caplog.text
    assert "does not answer" not in caplog.text


def test_mlflow_is_imported_only_when_it_is_needed(root: Path):
    code = "import sys, pipelines.tracking, pipelines.params; sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
