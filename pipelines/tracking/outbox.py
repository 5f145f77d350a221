"""What stages want in MLflow, on disk before it is sent: a folder a run, a line an operation, files as they were.

`runs/tracking/NAME/`: `operations.jsonl` only grows, `sent.json` says how much of it is in the store and under which
run id, `files/` holds copies that are still to be sent, `refused.jsonl` what the store refused for good. NAME begins
with the time, so that names sort as runs began, and is the tag by which the run is found in the store.
"""

import fcntl
import json
import os
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from mixste.errors import MixsteError, shown
from mixste.files.whole import whole_file
from pipelines.places import RUNS

ROOT = RUNS / "tracking"
_POINTER = "outbox"
Operation = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far an outbox is: the run's id in the store, and the bytes that were sent."""

    run_id: str | None = None
    sent: int = 0


class Outbox:
    """The operations of one run, as any process sees them."""

    def __init__(self, place: Path) -> None:
        self.place, self.journal = place, place / "operations.jsonl"

    @property
    def name(self) -> str:
        """What marks the run in the store."""
        return self.place.name

    @property
    def begin(self) -> Operation:
        """The first operation, which makes the run; empty if it was never written."""
        return next((operation for operation, _ in self.operations()), {})

    def is_for(self, uri: str) -> bool:
        """Say whether the run is for the store at `uri`, whoever logs in there: passwords are not kept on disk."""
        return shown(self.begin.get("uri")) == shown(uri)

    def operations(self, start: int = 0) -> Iterator[tuple[Operation, int]]:
        """The operations from byte `start` on, each with the byte where it ends; torn lines are passed over."""
        try:
            file = self.journal.open("rb")
        except OSError:
            return
        with file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                start += len(line)
                try:
                    yield json.loads(line), start
                except ValueError:
                    continue

    @property
    def progress(self) -> Progress:
        """How much was sent; all is sent again where that was lost, which doubles nothing."""
        try:
            return Progress(**json.loads((self.place / "sent.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Progress()

    def note(self, progress: Progress) -> None:
        """Note how much was sent."""
        with whole_file(self.place / "sent.json") as partial:
            partial.write_text(json.dumps(asdict(progress)), encoding="utf-8")

    @property
    def pending(self) -> list[Operation]:
        """The operations that were not sent yet."""
        return [operation for operation, _ in self.operations(self.progress.sent)]

    def set_aside(self, operation: Operation, why: str) -> None:
        """Keep an operation that the store refuses for good, with the reason."""
        with (self.place / "refused.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({**operation, "why": why}) + "\n")

    @property
    def refused(self) -> list[Operation]:
        """What was set aside, each with its `why`."""
        try:
            lines = (self.place / "refused.jsonl").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        return [json.loads(line) for line in lines]

    def remove_if_done(self) -> None:
        """Remove an outbox of which all is sent, that nobody writes and that no folder goes on with."""
        if not self._goes_on() and not self.pending and not self.refused and self._idle():
            shutil.rmtree(self.place, ignore_errors=True)

    def end_if_killed(self) -> None:
        """Add that the run was killed, if its writer is gone without a word and no folder goes on with it."""
        if not self._goes_on() and self._status() == "RUNNING" and self._idle():
            writer = Writer(self)
            writer.write("status", status="KILLED")
            writer.close()

    def _goes_on(self) -> bool:
        folder = self.begin.get("folder")
        return folder is not None and Path(folder).is_dir()

    def _status(self) -> str:
        said = [operation["status"] for operation, _ in self.operations() if operation["op"] == "status"]
        return said[-1] if said else "RUNNING"

    def _idle(self) -> bool:
        with self.journal.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
        return True


def outboxes(root: Path = ROOT) -> list[Outbox]:
    """All outboxes, older runs first."""
    return [Outbox(path.parent) for path in sorted(root.glob("*/operations.jsonl"))]


class Writer:
    """The one process that adds to an outbox. What cannot be written is tried again with the next operation.

    A metric of a step that the outbox holds is dropped: a training that goes on reports epochs again.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.trouble: OSError | None = None
        self._lock, self._file, self._size = threading.Lock(), -1, 0
        self._unwritten: deque[bytes] = deque()
        self._known = {
            (key, operation["step"])
            for operation, _ in outbox.operations()
            if operation["op"] == "metrics"
            for key in operation["values"]
        }

    def write(self, op: str, **fields: Any) -> None:
        """Add an operation with the time of now; `trouble` says why the disk did not take it, if it did not."""
        line = json.dumps({"op": op, **fields, "time": time.time_ns() // 1_000_000}) + "\n"
        with self._lock:
            self._unwritten.append(line.encode())
            try:
                self._write_waiting()
                self.trouble = None
            except OSError as error:
                self.trouble = error

    def write_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Add those metrics of a step that are new."""
        with self._lock:
            new = {key: float(value) for key, value in values.items() if (key, step) not in self._known}
            self._known.update((key, step) for key in new)
        if new:
            self.write("metrics", values=new, step=step)

    def write_file(self, path: Path, folder: str) -> None:
        """Copy a file or a folder as it is now, and add that it goes into `folder` of the run's artifacts.

        Raises OSError if it cannot be copied.
        """
        copy = Path("files", uuid4().hex, path.name)
        place = self.outbox.place / copy
        try:
            place.parent.mkdir(parents=True)
            if path.is_dir():
                shutil.copytree(path, place)
            else:
                shutil.copyfile(path, place)
        except OSError:
            shutil.rmtree(place.parent, ignore_errors=True)
            raise
        self.write("file", path=str(copy), folder=folder)

    @property
    def unwritten(self) -> list[Operation]:
        """The operations that the disk has not taken."""
        return [json.loads(line) for line in self._unwritten]

    def close(self) -> None:
        """Let others remove the outbox."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _write_waiting(self) -> None:
        if self._file < 0:
            self._open()
        while self._unwritten:
            line = self._unwritten[0]
            if os.write(self._file, line) < len(line):
                os.ftruncate(self._file, self._size)
                raise OSError("the disk took only a part")
            self._size += len(line)
            self._unwritten.popleft()
        os.fsync(self._file)

    def _open(self) -> None:
        self.outbox.place.mkdir(parents=True, exist_ok=True)
        file = os.open(self.outbox.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            whole = self.outbox.journal.read_bytes().rfind(b"\n") + 1
            os.ftruncate(file, whole)
        except OSError:
            os.close(file)
            raise
        self._file, self._size = file, whole


def open_outbox(name: str, uri: str, folder: Path | None, root: Path = ROOT) -> tuple[Writer, bool]:
    """Return the writer of a new outbox, or of the one that was begun for the store in `folder`, and which it is."""
    pointer = None if folder is None else folder / _POINTER
    begun = None if pointer is None else _begun(pointer, uri, root)
    if begun is not None:
        return Writer(begun), False
    moment, plain = datetime.now().strftime("%Y%m%dT%H%M%S%f"), re.sub(r"\W+", "-", name)
    outbox = Outbox(root.absolute() / f"{moment}-{plain}-{uuid4().hex[:8]}")
    if pointer is not None:
        with suppress(OSError, MixsteError), whole_file(pointer) as partial:  # the stage matters more than its record
            partial.write_text(outbox.name, encoding="utf-8")
    return Writer(outbox), True


def _begun(pointer: Path, uri: str, root: Path) -> Outbox | None:
    try:
        outbox = Outbox(root.absolute() / pointer.read_text(encoding="utf-8"))
    except OSError:
        return None
    return outbox if outbox.is_for(uri) else None
