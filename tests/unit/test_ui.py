"""MLflow's pages: their address is said, also where no browser opens."""

import logging

import pytest

from pipelines import ui


def test_the_page_of_a_server_is_said_without_the_password(
    workplace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    opened: list[str] = []
    monkeypatch.setattr("sys.argv", ["ui"])
    monkeypatch.setattr(ui.webbrowser, "open", opened.append)
    monkeypatch.setattr(ui.store, "knock", lambda *_: None)
    monkeypatch.setattr(ui, "comparison", lambda address, *_: f"{address}/#/experiments/1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000/")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    with caplog.at_level(logging.INFO):
        ui.main()
    assert opened == ["http://me:secret@host:5000/#/experiments/1"]
    assert caplog.messages == ["\nhttp://host:5000/#/experiments/1"]
