"""A real MLflow server that is killed and returns: every record arrives, once."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.drills.server import Server
from pipelines import sync, tracking
from pipelines.params import Params, load
from pipelines.tracking import store
from pipelines.tracking.outbox import Progress, outboxes


@pytest.fixture
def params(workplace: Path) -> Params:
    settings = load()
    return replace(settings, tracking=replace(settings.tracking, timeout=2, system_metrics=None))


@pytest.mark.slow
def test_a_server_that_is_killed_and_returns_has_every_record_once(
    params: Params, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    server = Server(tmp_path / "server")
    (server.folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    folder = Path("runs/pretrain-1")
    folder.mkdir(parents=True)
    server.start()
    try:
        with tracking.run("pretrain", params, folder=folder, output=Path("conf")) as run:
            run.log_metrics({"loss": 1.0}, step=1)
            assert run.handle is not None
            server.kill()
            begun = time.monotonic()
            run.log_metrics({"loss": 0.5}, step=2)
            run.log_figure(Path("params.yaml"))
            assert time.monotonic() - begun < 5, "a stage does not wait for a server that is away"
        assert "does not answer" in caplog.text
        server.start()
        with tracking.run("finetune", params, parent=Path("conf")):
            pass
        (outbox,) = [one for one in outboxes() if one.begin["name"] == "pretrain"]
        outbox.note(Progress())  # killed before it was noted
        sync.main()
        client = store.client(server.address)
        own = client.get_run(outbox.progress.run_id)
        experiments = [one.experiment_id for one in client.search_experiments()]
        runs = {one.data.tags["stage"]: one for one in client.search_runs(experiments)}
        points = client.get_metric_history(own.info.run_id, "loss")
        assert [(one.step, one.value) for one in points] == [(1, 1.0), (2, 0.5)]
        assert (own.info.status, len(runs)) == ("FINISHED", 2)
        assert [item.path for item in client.list_artifacts(own.info.run_id)] == ["params.yaml"]
        assert runs["finetune"].data.tags["mlflow.parentRunId"] == own.info.run_id
        assert tracking.run_of(Path("conf")) == own.info.run_id
    finally:
        server.kill()
