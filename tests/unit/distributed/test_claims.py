import threading
import time

import pytest
from pyarrow import fs

from mixste.errors import MixsteError
from pipelines.distributed import claims
from pipelines.distributed.claims import CLAIM, claimed
from pipelines.distributed.storage import Storage


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


def test_a_claim_that_is_just_being_written_is_no_free_place(place, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "RENEW_S", 1.0)
    monkeypatch.setattr(claims, "LISTEN_S", 10.0)
    claim = tmp_path / "storage" / CLAIM
    with claimed(place, folder(tmp_path, "one")):
        whole = claim.read_text()
        claim.write_text("")
        threading.Timer(0.1, claim.write_text, [whole]).start()
        with pytest.raises(MixsteError, match="shared is in use"), claimed(place, folder(tmp_path, "two")):
            pass


def test_a_holder_leaves_the_claim_of_who_took_over_and_says_so(place, tmp_path, caplog):
    claim = tmp_path / "storage" / CLAIM
    theirs = '{"owner": "another", "by": "process 1 on elsewhere", "count": 3}'
    with claimed(place, folder(tmp_path, "one")):
        claim.write_text(theirs)
        until = time.monotonic() + 10
        while "taken over by process 1 on elsewhere" not in caplog.text and time.monotonic() < until:
            time.sleep(0.02)
    assert "taken over by process 1 on elsewhere" in caplog.text
    assert claim.read_text() == theirs
