"""How long a store is waited for, and how its silence is told from a file that takes its time and from faults."""

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

from pipelines.tracking import store


def test_the_users_own_timeout_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "33")
    store.wait_at_most(7)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "33"


class Slow(BaseHTTPRequestHandler):
    """Answers at once, but to a file only after a second."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(1.5)
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that takes files slowly; a client logs to it without asking for the run."""
    monkeypatch.setattr(store, "_ours", set())

    def client(uri: str) -> SimpleNamespace:
        files = HttpArtifactRepository(uri)
        return SimpleNamespace(log_artifact=lambda _, path, folder: files.log_artifact(path, folder))

    monkeypatch.setattr(store, "client", client)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_a_file_may_take_longer_than_a_small_request(no_timeout: None, slow: str, workplace: Path):
    store.wait_at_most(1)
    store.log_file(slow, "run", Path("params.yaml"), "")
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "1"


def test_a_file_that_takes_longer_than_the_user_waits_is_told_from_a_server_that_is_away(
    slow: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    why = r"it answers, but a file did not get through \(.*timed out.*; MLFLOW_HTTP_REQUEST_TIMEOUT=1\)"
    with pytest.raises(store.TransferError, match=why) as raised:
        store.log_file(slow, "run", Path("params.yaml"), "")
    assert not store.unreachable(raised.value)


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
    others = (OSError(28, "No space left on device"), FileNotFoundError(), KeyError("x"), requests.HTTPError("500"))
    assert not any(store.unreachable(error) or store.unreachable(raised(error)) for error in others)


def test_a_registry_is_called_the_same_in_every_checkout_and_by_everyone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store.name() == "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@there:5000")
    assert store.name() == "http://there:5000"
