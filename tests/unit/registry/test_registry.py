"""What stores and fetches a model waits for it as long as files may take."""

import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import mlflow
import mlflow.artifacts
import mlflow.pyfunc
import pytest

from pipelines import registry
from pipelines.tracking import store


@pytest.mark.parametrize("chosen", [None, "33"])
def test_a_model_comes_and_goes_as_slowly_as_it_must_or_as_the_user_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str | None
):
    waits = []

    def transferred(*_, **__):
        waits.append(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
        return SimpleNamespace(model_id="m-1")

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", chosen or "")
    if chosen is None:
        monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    monkeypatch.setattr(mlflow, "set_tracking_uri", lambda _: None)
    monkeypatch.setattr(mlflow, "start_run", lambda **_: nullcontext())
    monkeypatch.setattr(mlflow.pyfunc, "log_model", transferred)
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda *_, **__: transferred() and str(tmp_path))
    client = SimpleNamespace(get_model_version_download_uri=lambda *_: "models")
    monkeypatch.setattr(store, "client", lambda _: client)
    store.wait_at_most(5)
    model = registry.Storable(tmp_path, None, {}, tmp_path, {})
    assert registry.log_model(store.Handle("sqlite://", "run"), model) == "m-1"
    assert registry.Shelf("sqlite://", "mixste", "champion").download(1, "model", tmp_path) == tmp_path
    assert waits == [chosen or str(store.TRANSFER_S)] * 2
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == (chosen or "5")
