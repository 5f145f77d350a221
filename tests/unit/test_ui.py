"""MLflow's pages: their address is said, also where no browser opens."""

import logging
import socket
from pathlib import Path

import pytest

from mixste.errors import MixsteError
from pipelines import tracking, ui
from pipelines.params import load
from pipelines.places import MODELS
from pipelines.tracking import store


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


def test_the_ui_opens_at_the_comparison(tracked_workplace: Path):
    params, uri = load(), store.default_store()
    assert ui.comparison("http://h", uri, params.tracking.experiment) == "http://h"
    for name in ("scratch", "finetuned"):
        MODELS[name].mkdir(parents=True)
        (MODELS[name] / "config.json").write_text(name)
        with tracking.run(name, params, output=MODELS[name]):
            pass
    page = ui.comparison("http://h", uri, params.tracking.experiment)
    assert page.startswith("http://h/#/compare-runs?runs=")
    assert all(str(tracking.run_of(MODELS[name])) in page for name in ("scratch", "finetuned"))


@pytest.mark.parametrize("text", ["abc", "0", "65536", "-1", "80.5", ""])
def test_a_port_that_is_none_is_a_clear_error(text: str):
    with pytest.raises(MixsteError, match=f"no such port; found: {text}"):
        ui.chosen_port([text])


def test_a_port_may_be_chosen():
    assert (ui.chosen_port([]), ui.chosen_port(["8080"])) == (5000, 8080)


def test_a_port_of_the_ui_that_is_taken_is_said_with_another():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = pytest.raises(MixsteError, match=f"127.0.0.1:{port}; found: Address.*make ui PORT={port + 1}")
        with refused, ui.served("sqlite:///mlflow.db", port):
            pytest.fail("it was served")


def test_the_ui_of_a_dead_server_is_a_clear_error(workplace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setattr("sys.argv", ["ui"])
    monkeypatch.setattr(ui.webbrowser, "open", lambda page: pytest.fail("opened"))
    with pytest.raises(MixsteError, match=r"MLFLOW_TRACKING_URI http://127\.0\.0\.1:1.*ConnectionError"):
        ui.main()


def test_the_ui_of_a_server_that_is_not_mlflow_is_a_clear_error(monkeypatch: pytest.MonkeyPatch):
    def comparison(*_: object) -> str:
        raise ValueError("not JSON")

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setattr(ui.store, "knock", lambda uri, timeout: None)
    monkeypatch.setattr(ui, "comparison", comparison)
    with pytest.raises(MixsteError, match="expected: an MLflow server"):
        ui.remote("http://h", ui.TrackingSettings(experiment="mixste", timeout=5, system_metrics=None))
