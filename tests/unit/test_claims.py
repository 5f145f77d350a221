import threading

import pytest
from pyarrow import fs

from mixste.errors import MixsteError
from pipelines import claims
from pipelines.claims import CLAIM, claimed
from pipelines.storage import Storage


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(claims, "RENEW_S", 0.05)
    monkeypatch.setattr(claims, "LISTEN_S", 0.6)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "storage").mkdir()
    return Storage("shared", fs.LocalFileSystem(), str(tmp_path / "storage"))


def folder(tmp_path, name):
    (tmp_path / name).mkdir(exist_ok=True)
    return tmp_path / name


def test_a_second_checkout_is_refused_while_the_first_trains(place, tmp_path):
    with (
        claimed(place, folder(tmp_path, "one")),
        pytest.raises(MixsteError, match=r"shared is in use.*process \d+ on "),
        claimed(place, folder(tmp_path, "two")),
    ):
        pass


def test_after_the_end_nothing_is_claimed(place, tmp_path):
    with claimed(place, folder(tmp_path, "one")):
        assert (tmp_path / "storage" / CLAIM).exists()
    assert not (tmp_path / "storage" / CLAIM).exists()


def killed(place, tmp_path, name):
    """Leave a claim as a process does that was killed."""
    with claimed(place, folder(tmp_path, name)):
        left = (tmp_path / "storage" / CLAIM).read_text()
    (tmp_path / "storage" / CLAIM).write_text(left)


def test_the_claim_of_a_killed_process_is_taken_over_by_another_checkout(place, tmp_path):
    killed(place, tmp_path, "one")
    with claimed(place, folder(tmp_path, "two")):
        pass


def test_a_checkout_goes_on_with_its_own_claim_at_once(place, tmp_path, monkeypatch):
    killed(place, tmp_path, "one")
    monkeypatch.setattr(claims, "LISTEN_S", 1e9)
    with claimed(place, folder(tmp_path, "one")):
        pass


def test_a_storage_that_refuses_for_a_while_ends_nothing(place, tmp_path, monkeypatch):
    refused = threading.Event()

    def refuse(place, mine, count):
        refused.set()
        raise OSError("no answer")

    with claimed(place, folder(tmp_path, "one")):
        monkeypatch.setattr(claims, "_write", refuse)
        assert refused.wait(5)
