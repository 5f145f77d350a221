"""One process at a time in a folder, by a lock on its file `lock`, which ends with whoever holds it."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mixste.errors import MixsteError


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make a folder, and refuse it by name while another process works there."""
    with _opened(folder) as file:
        file.seek(0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            other = file.read() or "another process"
            raise MixsteError(f"{folder} is in use", found=other, mend="wait for it, or stop it") from None
        file.truncate(0)
        file.write(this_process())
        file.flush()
        yield


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Make a folder, and wait for whoever works there."""
    with _opened(folder) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def this_process() -> str:
    """Who holds a lock, in words."""
    return f"process {os.getpid()} on {socket.gethostname()}, in {Path.cwd()}"


@contextmanager
def _opened(folder: Path) -> Iterator[TextIO]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="utf-8") as file:
        yield file
