"""Where checkpoints of a training live: a folder, or any store that pyarrow opens by its URI (s3://, gs://, ...).

Every start of a training has a folder of its own, `checkpoints/try-...`, into which it moves the checkpoint of most
epochs, if it is whole. So what workers of a killed driver still write is never read, nor what is half-written.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pyarrow import ArrowException, fs

from mixste.errors import MixsteError, shown
from mixste.files.whole import explain

ANSWER_S = 30.0
CHECKPOINTS = "checkpoints"
START = "start"
SUFFIX = ".safetensors"
_MENDS = {
    "not found": "make the bucket, or change cluster.storage",
    "ACCESS_DENIED": "give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of who may write there, on every machine",
    "INVALID_ACCESS_KEY_ID": "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, on every machine",
    "SIGNATURE_DOES_NOT_MATCH": "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, on every machine",
}
_LATER = "see that it answers, then run the same command again: training goes on from its last checkpoint"
Output = TypeVar("Output")


@dataclass(frozen=True)
class Storage:
    """A folder of a file system; `uri` is how the user names it."""

    uri: str
    files: Any
    path: str

    def below(self, name: str) -> "Storage":
        """A folder in it."""
        return Storage(f"{self.uri.split('?')[0].rstrip('/')}/{name}", self.files, f"{self.path}/{name}")

    def check(self) -> None:
        """Write a byte and delete it; MixsteError if the storage refuses, or does not answer within seconds."""

        def write() -> None:
            probe = f"{self.path}/.probe-{uuid.uuid4().hex}"
            self.files.create_dir(self.path, recursive=True)
            with self.files.open_output_stream(probe) as file:
                file.write(b"1")
            self.files.delete_file(probe)

        try:
            within(ANSWER_S, write)
        except (OSError, TimeoutError) as error:
            raise self.refusal(error) from error

    def refusal(self, error: OSError) -> BaseException:
        """What a user is told of an error of this storage; any other error as it is."""
        if error.errno is None:  # not the operating system's
            found = str(error).splitlines()[0]
            mend = next((mend for code, mend in _MENDS.items() if code in found), _LATER)
            return MixsteError(f"cannot write to the storage {self.uri}", found=found, mend=mend)
        try:
            explain(error, Path(self.path))
        except MixsteError as explained:
            return explained
        return error

    def begin(self) -> tuple["Storage", str | None]:
        """Return the folder of a new start, and the path in it of the checkpoint's folder to go on from, if any."""
        everything = self.below(CHECKPOINTS)
        new = everything.below(f"try-{time.time_ns():x}-{uuid.uuid4().hex[:6]}")
        best = max(everything.whole(), default=None)
        start = None
        new.files.create_dir(new.path, recursive=True)
        if best is not None:
            start = f"{new.path}/{START}"
            new.files.create_dir(start)
            new.files.move(best[1], f"{start}/{best[1].rsplit('/', 1)[1]}")
        for info in self.files.get_file_info(fs.FileSelector(everything.path)):
            if info.base_name != new.path.rsplit("/", 1)[1]:
                self.files.delete_dir(info.path)
        return new, start

    def whole(self) -> list[tuple[int, str]]:
        """The epochs and paths of all checkpoints below this folder that are whole."""
        infos = self.files.get_file_info(fs.FileSelector(self.path, allow_not_found=True, recursive=True))
        found = [(self._epochs(info), info.path) for info in infos if info.path.endswith(SUFFIX)]
        return [(epochs, path) for epochs, path in found if epochs > 0]

    def _epochs(self, info: Any) -> int:
        """How many epochs a file holds; 0 if it ends before its last tensor does, or is none of ours."""
        try:
            with self.files.open_input_file(info.path) as file:
                length = int.from_bytes(file.read(8), "little")
                if 8 + length > info.size:
                    return 0
                header = json.loads(file.read(length))
            progress = json.loads(header.pop("__metadata__")["progress"])
            ends = [tensor["data_offsets"][1] for tensor in header.values()]
            return int(progress["epoch"]) if 8 + length + max(ends) == info.size else 0
        except (ValueError, KeyError, TypeError, FileNotFoundError):
            return 0


def open_storage(uri: str) -> Storage:
    """Open a folder, relative to the working one, or a URI; MixsteError for one that pyarrow cannot open."""
    if "://" not in uri:
        return Storage(uri, fs.LocalFileSystem(), str(Path(uri).absolute()))
    try:
        files, path = within(ANSWER_S, lambda: fs.FileSystem.from_uri(uri))
        if not path.strip("/"):
            raise ValueError("no bucket")
    except (ArrowException, OSError, ValueError, ImportError) as error:
        raise MixsteError(
            f"cannot open the storage {uri}",
            found=str(error).splitlines()[0],
            expected="a folder, or a URI such as s3://BUCKET/PREFIX?region=eu-west-1",
            mend="change cluster.storage; docs/cluster.md has examples",
        ) from error
    return Storage(shown(uri), files, path.rstrip("/"))


def within(seconds: float, call: Callable[[], Output]) -> Output:
    """Return what a call returns; TimeoutError if it takes longer, and then nobody waits for it."""
    results: list[Output] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    return results[0]
