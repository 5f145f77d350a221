"""The thread that sends: beside the work, at once when it is flushed, and again when the store returns."""

import threading
import time
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

from pipelines.tracking import store
from pipelines.tracking.outbox import Outbox
from pipelines.tracking.sender import Sender
from pipelines.tracking.sending import send
from tests.unit.tracking.outboxes import begin, history


@pytest.fixture
def uri(tracked_workplace: Path) -> str:
    return store.default_store()


def test_a_sender_sends_in_the_background_and_flush_waits_for_it(uri: str):
    writer = begin()
    sender = Sender(uri, 5)
    sender.flush()
    run_id = writer.outbox.progress.run_id
    assert run_id is not None
    writer.write_metrics({"loss": 1.0}, 1)
    sender.ask()
    deadline = time.monotonic() + 20
    while writer.outbox.pending and time.monotonic() < deadline:
        time.sleep(0.02)
    assert history(writer.outbox, "loss") == [(1, 1.0)]
    sender.close()


def test_a_sender_whose_store_is_away_fails_at_once_and_is_there_when_it_returns(
    uri: str, monkeypatch: pytest.MonkeyPatch
):
    writer = begin()
    with monkeypatch.context() as patch:
        patch.setattr(store, "knock", lambda *_: (_ for _ in ()).throw(ConnectionError("refused")))
        sender = Sender(uri, 5)
        begun = time.monotonic()
        sender.flush()
        assert time.monotonic() - begun < 5
        assert str(sender.away) == "refused"
        assert len(writer.outbox.pending) == 1
    deadline = time.monotonic() + 20
    while writer.outbox.pending and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (writer.outbox.pending, sender.away) == ([], None)
    sender.close()


def test_a_file_that_is_on_its_way_is_waited_for(uri: str, monkeypatch: pytest.MonkeyPatch):
    writer = begin()
    send(writer.outbox, uri)
    writer.write_file(Path("params.yaml"), "")
    note = Outbox.note
    monkeypatch.setattr(Outbox, "note", lambda *given: time.sleep(0.3) or note(*given))  # a slow disk, afterwards
    monkeypatch.setattr(MlflowClient, "log_artifact", lambda *_: time.sleep(1.5))
    sender = Sender(uri, 5)
    sender._patience = 0.5
    sender.flush()
    assert (writer.outbox.pending, sender.away) == ([], None)
    sender.close()


def test_a_file_that_never_arrives_is_waited_for_once(uri: str, monkeypatch: pytest.MonkeyPatch):
    arrived = threading.Event()
    writer = begin()
    send(writer.outbox, uri)
    writer.write_file(Path("params.yaml"), "")
    monkeypatch.setattr(store, "TRANSFER_S", 1.0)
    monkeypatch.setattr(MlflowClient, "log_artifact", lambda *_: arrived.wait(30))
    sender = Sender(uri, 5)
    sender._patience = 0.5
    seconds = []
    for _ in range(2):
        begun = time.monotonic()
        sender.flush()
        seconds.append(time.monotonic() - begun)
        assert str(sender.away) == "nothing moves any more"
    assert seconds[1] < seconds[0]
    sender.close()
    arrived.set()


def test_a_file_that_fails_is_not_sent_again_at_every_call(uri: str, monkeypatch: pytest.MonkeyPatch):
    tries = []

    def fail(*_):
        tries.append(1)
        raise requests.Timeout("slow")

    writer = begin()
    send(writer.outbox, uri)
    writer.write_file(Path("params.yaml"), "")
    monkeypatch.setattr(MlflowClient, "log_artifact", fail)
    sender = Sender(uri, 5)
    sender.flush()
    for _ in range(20):
        sender.ask()
        time.sleep(0.02)
    assert len(tries) <= 2
    assert isinstance(sender.trouble, store.TransferError)
    sender.close()
