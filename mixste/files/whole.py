"""Files and folders that are whole or absent: written beside their place, then renamed into it."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mixste.errors import MixsteError


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `path` only if the block ends well.

    What a killed process left half-written in it does not come along. One process at a time.
    """
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        for leftover in partial.rglob(".*.partial"):
            leftover.unlink()
        shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)
    except OSError as error:
        explain(error, path)
        _refuse(error, path, partial)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write that takes the place of `path` only if the block ends well, and is on the disk by then.

    Of any number of threads and machines that write it at once the last stays.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as error:
        explain(error, path)
        if error.filename is None and error.errno is not None and not isinstance(error, ConnectionError | TimeoutError):
            raise MixsteError(f"cannot write {path}", found=error.strerror) from error
        _refuse(error, path, partial)
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def explain(error: OSError, path: Path) -> None:
    """Raise a MixsteError for a full disk or a folder that may not be written; return for any other error."""
    if error.errno == errno.ENOSPC:
        raise MixsteError(
            f"cannot write {path}",
            found="no space left on the device",
            mend="free some space and run the same command again; nothing half-written was kept",
        ) from error
    if error.errno in (errno.EACCES, errno.EROFS):
        raise MixsteError(f"cannot write {path}", found=error.strerror, mend="make the folder writable") from error


def check_place(path: Path) -> None:
    """Raise MixsteError for a path where no file can be written: a folder's, or one below what is no folder."""
    try:
        folder = path.is_dir()
        above = next(parent for parent in path.absolute().parents if parent.exists())
    except OSError as error:
        raise MixsteError(f"cannot write {path}", found=error.strerror, mend="name another place") from error
    if folder:
        raise MixsteError(f"cannot write {path}", found="a folder", expected="the name of a file")
    if not above.is_dir():
        raise MixsteError(f"cannot write {path}", found=f"{above}, which is no folder", mend="name another place")


def check_ending(path: Path, ending: str) -> None:
    """Raise MixsteError unless a path has the ending, in small letters or capitals."""
    if path.suffix.lower() != ending:
        raise MixsteError(f"cannot write {path}", found=path.suffix or "no ending", expected=ending)


def _refuse(error: OSError, path: Path, partial: Path) -> None:
    """Raise a MixsteError for an error that names the path, what is written in its place, or a folder above it."""
    named = [Path(str(name)) for name in (error.filename, error.filename2) if name is not None]
    own = {path, partial, *path.parents}
    if any(name in own or partial in name.parents for name in named):
        raise MixsteError(f"cannot write {path}", found=error.strerror, mend="name another place") from error
