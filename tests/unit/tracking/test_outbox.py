"""The outbox on disk: ordered, append-only, whole after a kill or a full disk anywhere."""

import errno
import json
import os
from pathlib import Path

import pytest

from pipelines.tracking.outbox import Outbox, Progress, Writer, open_outbox, outboxes


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "tracking" / "20260101T000000000000-pretrain-1")


def kinds(outbox: Outbox) -> list[str]:
    return [operation["op"] for operation, _ in outbox.operations()]


def test_operations_stay_in_order_with_the_time_they_were_written(outbox: Outbox):
    writer = Writer(outbox)
    for op in ("begin", "params", "status"):
        writer.write(op)
    assert kinds(outbox) == ["begin", "params", "status"]
    times = [operation["time"] for operation, _ in outbox.operations()]
    assert times == sorted(times)
    assert outbox.begin["op"] == "begin"


def test_what_was_sent_is_not_pending(outbox: Outbox):
    writer = Writer(outbox)
    for op in ("begin", "params", "status"):
        writer.write(op)
    (_, first), *_ = outbox.operations()
    outbox.note(Progress("run", first))
    assert [operation["op"] for operation in outbox.pending] == ["params", "status"]
    outbox.place.joinpath("sent.json").write_text("{torn")
    assert len(outbox.pending) == 3


def test_a_torn_last_line_is_not_read_and_is_overwritten(outbox: Outbox):
    killed = Writer(outbox)
    killed.write("begin")
    killed.close()
    with outbox.journal.open("a") as file:
        file.write('{"op": "metr')
    assert kinds(outbox) == ["begin"]
    Writer(outbox).write("status")
    assert kinds(outbox) == ["begin", "status"]
    assert all(json.loads(line) for line in outbox.journal.read_text().splitlines())


def test_a_metric_of_a_step_is_written_once_also_after_a_restart(outbox: Outbox):
    writer = Writer(outbox)
    writer.write_metrics({"loss": 1.0}, step=1)
    writer.write_metrics({"loss": 2.0, "lr": 0.1}, step=1)
    writer.close()
    Writer(outbox).write_metrics({"loss": 3.0, "lr": 0.3}, step=1)
    written = [(operation["values"], operation["step"]) for operation, _ in outbox.operations()]
    assert written == [({"loss": 1.0}, 1), ({"lr": 0.1}, 1)]


@pytest.mark.parametrize("part", [0, 7])
def test_a_full_disk_tears_nothing_and_what_waits_is_written_later(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, part: int
):
    writer, plain = Writer(outbox), os.write
    writer.write("begin")

    def full(file: int, data: bytes) -> int:
        if not part:
            raise OSError(errno.ENOSPC, "no space left on device")
        return plain(file, data[:part])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        writer.write("params")
        assert writer.trouble is not None
        assert [operation["op"] for operation in writer.unwritten] == ["params"]
    assert kinds(outbox) == ["begin"]
    writer.write("status")
    assert (writer.trouble, writer.unwritten) == (None, [])
    assert kinds(outbox) == ["begin", "params", "status"]


def test_files_are_kept_as_they_were(outbox: Outbox, tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (tmp_path / "a.txt", folder / "b.txt"):
        path.write_text("before")
    writer = Writer(outbox)
    writer.write_file(tmp_path / "a.txt", "")
    writer.write_file(folder, "")
    for path in (tmp_path / "a.txt", folder / "b.txt"):
        path.write_text("after")
    copies = [outbox.place / operation["path"] for operation in outbox.pending]
    assert [path.name for path in copies] == ["a.txt", "folder"]
    assert (copies[0].read_text(), (copies[1] / "b.txt").read_text()) == ("before", "before")
    with pytest.raises(FileNotFoundError):
        writer.write_file(tmp_path / "none.txt", "")
    assert len(list((outbox.place / "files").iterdir())) == 2


def test_a_folder_goes_on_with_its_outbox_in_the_same_store_only(tmp_path: Path):
    folder, root = tmp_path / "run", tmp_path / "tracking"
    first, new = open_outbox("pretrain", "http://one", folder, root)
    first.write("begin", uri="http://one")
    assert new
    again, new = open_outbox("pretrain", "http://one", folder, root)
    assert (again.outbox.place, new) == (first.outbox.place, False)
    for uri, place in (("http://two", folder), ("http://one", None)):
        other, new = open_outbox("pretrain", uri, place, root)
        assert new
        assert other.outbox.place != first.outbox.place


def test_outboxes_are_sorted_as_runs_began_whatever_their_names(tmp_path: Path):
    for name in ("z", "trial 1", "a"):
        open_outbox(name, "u", None, tmp_path)[0].write("begin", name=name)
    assert [outbox.begin["name"] for outbox in outboxes(tmp_path)] == ["z", "trial 1", "a"]


def test_only_what_is_sent_and_done_with_is_removed(outbox: Outbox, tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    writer = Writer(outbox)
    writer.write("begin", folder=str(folder))
    end = outbox.journal.stat().st_size

    def stays(progress: Progress) -> bool:
        outbox.note(progress)
        outbox.remove_if_done()
        return outbox.place.exists()

    assert stays(Progress("run", end))  # another process may go on with the folder
    folder.rmdir()
    assert stays(Progress("run", end))  # this one writes
    writer.close()
    outbox.set_aside({"op": "tags"}, "why")
    assert stays(Progress("run", end))
    (outbox.place / "refused.jsonl").unlink()
    assert stays(Progress("run", 0))
    assert not stays(Progress("run", end))


def test_a_run_whose_writer_is_gone_without_a_word_was_killed(tmp_path):
    def said(writer):
        writer.outbox.end_if_killed()
        return [operation["status"] for operation, _ in writer.outbox.operations() if operation["op"] == "status"]

    def begun(folder):
        writer, _ = open_outbox("prepare", "sqlite:///a.db", None, root=tmp_path / "tracking")
        writer.write("begin", name="prepare", uri="sqlite:///a.db", folder=folder)
        return writer

    writes, gone, ended, goes_on = begun(None), begun(None), begun(None), begun(str(tmp_path))
    ended.write("status", status="FAILED")
    for writer in (gone, ended, goes_on):
        writer.close()
    assert (said(writes), said(ended), said(goes_on)) == ([], ["FAILED"], [])
    assert said(gone) == ["KILLED"]
    assert said(gone) == ["KILLED"], "once"
