"""Files and folders that are whole or absent: written beside their place, then renamed into it."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixste.errors import MixsteError


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `path` only if the block ends well.

    What a killed process left half-written in it does not come along.
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
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write that takes the place of `path` only if the block ends well."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        explain(error, path)
        raise
    finally:
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
