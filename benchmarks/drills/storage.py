"""Checkpoints in an object store that refuses, goes away and comes back: `python -m benchmarks.drills.storage`.

A real S3 server (moto) in this machine, and a line to it that is cut: what the user is told, after how many seconds,
and whether the same command then ends in the weights of an undisturbed run.
"""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.drills.checkout import environment, run
from benchmarks.drills.object_store import KEYS, ObjectStore, object_store
from benchmarks.drills.stages import Stage, prepared, scratch, weights
from benchmarks.drills.tables import Table

EPOCHS = 6
SETTINGS = (
    *(f"finetune.epochs={EPOCHS}", "finetune.windows_per_epoch=1200", "finetune.validation_windows=64"),
    "cluster.workers=1",
)
BOUND_S = 300


def main() -> None:
    """Print what was found; exit status 1 if something does not hold."""
    table = Table("checkpoints in an object store")
    with tempfile.TemporaryDirectory() as folder, object_store() as store:
        drill = Drill(table, prepared(Path(folder) / "mixste", *SETTINGS, f"cluster.storage='{store.uri()}'"), store)
        drill.undisturbed()
        drill.refused_at_the_start()
        drill.gone_while_training("cut off", store.line.cut, store.line.mend)
        drill.gone_while_training("silent", store.freeze, store.thaw)
        drill.gone_for_a_moment()
        drill.another_machine()
    table.finish()


class Drill:
    """One checkout, one store, and the weights that every training must end in."""

    def __init__(self, table: Table, checkout: Path, store: ObjectStore) -> None:
        self.table, self.checkout, self.store = table, checkout, store
        self.env = environment(**KEYS)
        self.expected = ""

    def undisturbed(self) -> None:
        """Train into the store, and into a folder."""
        started = time.monotonic()
        self.expected = self.finish("into the store")
        self.table.add("into the store: seconds", f"{time.monotonic() - started:.0f}")
        self.choose("runs")
        shutil.rmtree(self.checkout / "runs")
        self.finish("into a folder: the same weights")
        self.forget()
        self.choose(self.store.uri())

    def refused_at_the_start(self) -> None:
        """No such bucket, nobody who may write, nobody there."""
        self.choose(self.store.uri("nowhere"))
        self.told("no such bucket", "make the bucket")
        with object_store(refusing=True) as refusing:
            self.choose(refusing.uri())
            self.told("access denied", "ACCESS_DENIED")
        self.choose(self.store.uri())
        self.store.line.cut()
        self.told("nobody there", "NETWORK_CONNECTION")
        self.store.line.mend()

    def gone_while_training(self, how: str, go: Callable[[], None], come: Callable[[], None]) -> None:
        """The store goes away after an epoch, for good; later the same command is given again."""
        with scratch(self.checkout, self.env) as stage:
            stage.wait_for_epoch(2)
            go()
            since = time.monotonic()
            status = stage.end()
            took = time.monotonic() - since
            before = stage.epochs
            self.message(f"{how} while training", stage, status, took, "cannot write to the storage")
        come()
        self.goes_on(f"{how} while training, then back", max(2, before[-1] - 1))

    def gone_for_a_moment(self) -> None:
        """The store is cut off for a few seconds: nobody has to do anything."""
        with scratch(self.checkout, self.env) as stage:
            stage.wait_for_epoch(2)
            self.store.line.cut()
            time.sleep(5)
            self.store.line.mend()
            status = stage.end()
            epochs = stage.epochs
        self.table.add("cut off for 5 seconds: exit status, epochs", f"{status}, {epochs}", status == 0)
        self.same_weights("cut off for 5 seconds")
        self.forget()

    def another_machine(self) -> None:
        """The driver is killed; a checkout without `runs/` goes on, and a second one is refused meanwhile."""
        other = self.checkout.with_name("other")
        shutil.copytree(self.checkout, other)
        shutil.rmtree(other / "runs", ignore_errors=True)
        with scratch(self.checkout, self.env) as stage:
            stage.wait_for_epoch(1)
            with scratch(other, self.env) as second:
                status = second.end()
                refused = status == 1 and "is in use; found: process" in second.message()
                self.table.add("a second checkout meanwhile", second.message(), refused)
            stage.wait_for_epoch(3)
            os.killpg(stage.process.pid, signal.SIGKILL)
        self.checkout = other
        self.goes_on("killed; another checkout, with no runs/", 2)

    def goes_on(self, what: str, least: int) -> None:
        """The same command ends in the same weights, and trains none of the first epochs again."""
        with scratch(self.checkout, self.env) as stage:
            status, epochs = stage.end(), stage.epochs
            if status:
                self.table.add(f"{what}: message", stage.text, holds=False)
        holds = status == 0 and (not epochs or min(epochs) > least)
        self.table.add(f"{what}: exit status, epochs told", f"{status}, {epochs}", holds)
        self.same_weights(what)
        self.forget()

    def finish(self, what: str) -> str:
        """Train to the end; returns the hash of the weights."""
        with scratch(self.checkout, self.env) as stage:
            if stage.end():
                raise RuntimeError(stage.text)
        found = weights(self.checkout)
        self.table.add(f"{what}: weights", found, self.expected in ("", found))
        return found

    def told(self, what: str, text: str) -> None:
        """The stage fails with one clear message."""
        since = time.monotonic()
        with scratch(self.checkout, self.env) as stage:
            status = stage.end()
            self.message(f"{what} at the start", stage, status, time.monotonic() - since, text)

    def message(self, what: str, stage: Stage, status: int, took: float, text: str) -> None:
        """Record what the user is told."""
        clear = status == 1 and text in stage.message() and "Traceback" not in stage.text
        self.table.add(f"{what}: message", stage.message() if clear else stage.text, clear)
        self.table.add(f"{what}: seconds", f"{took:.0f}", took < BOUND_S)

    def same_weights(self, what: str) -> None:
        """The model is that of the undisturbed run."""
        found = weights(self.checkout) if (self.checkout / "models/scratch").exists() else "no model"
        self.table.add(f"{what}: the same weights", found, found == self.expected)

    def choose(self, storage: str) -> None:
        """Change cluster.storage."""
        run("python", "-m", "pipelines.params", *SETTINGS, f"cluster.storage='{storage}'", cwd=self.checkout)

    def forget(self) -> None:
        """Remove model, local folder and the checkpoints in the store."""
        for name in ("runs", "models"):
            shutil.rmtree(self.checkout / name, ignore_errors=True)
        empty(self.store)


def empty(store: ObjectStore) -> None:
    """Delete all checkpoints of the store."""
    from pipelines.distributed.storage import open_storage

    os.environ.update(KEYS)
    place = open_storage(store.uri())
    place.files.delete_dir_contents(place.path, missing_dir_ok=True)


if __name__ == "__main__":
    main()
