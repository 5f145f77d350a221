"""One checkout at a time trains into a folder of a shared storage: its claim there is a file that it keeps renewing.

A claim that is renewed while one listens is alive, whatever the clocks say. Who comes in the same second is not seen;
then the later one goes on alone, and the earlier fails when it writes its next checkpoint.
"""

import json
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from mixste.errors import MixsteError
from mixste.files.whole import whole_file
from pipelines.distributed.storage import Storage, within
from pipelines.process.beside import Ended, beside
from pipelines.process.locks import this_process

CLAIM = "in-use.json"
OWNER = "owner"
RENEW_S = 4.0
LISTEN_S = 12.0
READINGS = 20
log = logging.getLogger(__name__)


@contextmanager
def claimed(place: Storage, folder: Path) -> Iterator[None]:
    """Hold a storage's folder for the checkout whose own folder, which it has locked, is `folder`.

    MixsteError, with host and process, if another one trains there. OSError if the storage refuses.
    """
    mine = _owner(folder)
    place.files.create_dir(place.path, recursive=True)
    other = _read(place)
    if other.get("owner", mine) != mine:
        _listen(place, other)
    _write(place, mine, 0)
    try:
        with beside(partial(_renew, place, mine), patience=RENEW_S):
            yield
    finally:
        with suppress(OSError):
            within(LISTEN_S, lambda: _release(place, mine))


def _listen(place: Storage, other: dict[str, Any]) -> None:
    log.info("%s was in use by %s; listening for %g seconds if it still is", place.uri, other["by"], LISTEN_S)
    until = time.monotonic() + LISTEN_S
    while time.monotonic() < until:
        time.sleep(RENEW_S / 4)
        now = _read(place)
        if now and now != other:
            raise MixsteError(f"{place.uri} is in use", found=now["by"], mend="wait for it, or stop it")


def _renew(place: Storage, mine: str, ended: Ended) -> None:
    count = 0
    while not ended(RENEW_S):
        count += 1
        with suppress(OSError):  # training itself says so when the storage refuses
            other = _read(place)
            if other.get("owner", mine) != mine:
                log.error("%s was taken over by %s; this training ends with its next epoch", place.uri, other["by"])
                return
            _write(place, mine, count)


def _release(place: Storage, mine: str) -> None:
    if _read(place).get("owner") == mine:
        place.files.delete_file(_path(place))


def _owner(folder: Path) -> str:
    """A name that this folder has for ever, and no other."""
    path = folder / OWNER
    if not path.exists():
        with whole_file(path) as partial:
            partial.write_text(uuid.uuid4().hex, encoding="utf-8")
    return path.read_text(encoding="utf-8")


def _path(place: Storage) -> str:
    return f"{place.path}/{CLAIM}"


def _write(place: Storage, owner: str, count: int) -> None:
    with place.files.open_output_stream(_path(place)) as file:
        file.write(json.dumps({"owner": owner, "by": this_process(), "count": count}).encode())


def _read(place: Storage) -> dict[str, Any]:
    """The claim that is there; nothing if there is none, or for longer than it takes to write one no whole one."""
    for _ in range(READINGS):
        try:
            with place.files.open_input_stream(_path(place)) as file:
                return dict(json.loads(file.read()))
        except FileNotFoundError:
            break
        except ValueError:
            time.sleep(RENEW_S / READINGS)
    return {}
