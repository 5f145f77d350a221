"""One MLflow run a stage, which is written to an outbox on disk and sent from there beside the stage's work.

The store is `sqlite:///ABSOLUTE/mlflow.db` with artifacts in `mlartifacts/` beside it, or MLFLOW_TRACKING_URI's server.
A URI that can never work is refused before a stage begins. After that nothing here raises into it, or waits for a
store that is away but for a file that is on its way: what cannot be sent stays in `runs/tracking`, is named in one
warning, and is sent by the next stage or `make sync`. Given its folder again, a stage goes on with the run that it
began there. Runs are linked by content: a run's parent is the one that made what it reads.

`outbox` is what is to be sent, `sending` sends it in order, `sender` is the thread that does so beside a stage, `store`
holds MLflow's client calls, and `machine` what the machine does meanwhile.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixste.errors import shown
from mixste.files.hashing import data_hash as hash_of
from mixste.settings.typed import flatten
from pipelines.provenance import git_state
from pipelines.tracking import store
from pipelines.tracking.machine import machine_metrics
from pipelines.tracking.outbox import ROOT, Operation, open_outbox
from pipelines.tracking.sender import Sender
from pipelines.tracking.sending import described

if TYPE_CHECKING:
    from pipelines.params import Params

log = logging.getLogger(__name__)


class Tracked:
    """A stage's run, or a run below it."""

    def __init__(self, name: str, sender: Sender, folder: Path | None, **begin: Any) -> None:
        self.name, self.experiment = name, begin["experiment"]
        self._sender, self._child, self._warned = sender, begin["above"] is not None, False
        self._lost: list[Operation] = []
        self._below: list[Tracked] = []
        self._writer, new = open_outbox(name, shown(sender.uri), folder)
        if new:
            place = None if folder is None else str(folder.absolute())
            self._write("begin", name=name, uri=shown(sender.uri), folder=place, **begin)
        else:
            self._write("status", status="RUNNING")
        self.began = self._writer.outbox.begin.get("time", time.time() * 1000) / 1000

    @property
    def handle(self) -> store.Handle | None:
        """The run in the store, once all that was logged is sent; None if the store does not answer."""
        self._sender.flush()
        run_id = self._writer.outbox.progress.run_id
        return None if run_id is None or self._sender.away else store.Handle(self._sender.uri, run_id)

    def log_params(self, params: object) -> None:
        """Log nested settings (dataclasses, dictionaries) under dotted keys; what the run already has stays."""
        self._write("params", values={key: str(value) for key, value in flatten(params).items()})

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers of one step (an epoch); those that were logged before stay as they are."""
        what = {"op": "metrics", "values": dict(metrics), "step": step}
        self._attempt(what, lambda: self._writer.write_metrics(metrics, step))

    def log_figure(self, path: Path, folder: str = "") -> None:
        """Log a file as it is now, into `folder` of the run's artifacts."""
        self._attempt({"op": "file", "path": str(path)}, lambda: self._writer.write_file(path, folder))

    def log_dataset(self, name: str, digest: str, path: Path, context: str = "training") -> None:
        """Log data as the run's input: name, hash, place, and what it is for (training, validation, test)."""
        self._write("input", name=name, digest=digest, source=str(path), context=context)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags of the run."""
        self._write("tags", values={key: str(value) for key, value in tags.items()})

    def child(self, name: str, tags: Mapping[str, str], folder: Path) -> "Tracked":
        """Return a run below this one, which is gone on with if it was begun in `folder`."""
        above = self._writer.outbox.name
        begin = {"experiment": self.experiment, "tags": dict(tags), "above": above, "input_hash": None}
        self._below.append(Tracked(name, self._sender, folder, **begin))
        return self._below[-1]

    def end(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED."""
        self._write("status", status=status)
        if self._child:
            self._writer.close()  # there may be more trials than a process may have files open

    def settle(self) -> None:
        """Wait, within bounds, until all is sent; name what stays on disk, and what not even the disk took."""
        self._sender.flush()
        self._sender.close()
        self._writer.close()
        every = [self, *self._below]
        waiting = {one.name: left for one in every if (left := one._writer.outbox.pending)}
        lost = {one.name: left for one in every if (left := [*one._writer.unwritten, *one._lost])}
        if waiting:
            why = _why(self._sender.uri, self._sender.trouble)
            log.warning("%s; kept in %s for the next stage or `make sync`: %s", why, ROOT, _named(waiting))
        if lost:
            log.warning("not logged to MLflow: %s", _named(lost))

    def _write(self, op: str, **fields: Any) -> None:
        self._attempt({"op": op, **fields}, lambda: self._writer.write(op, **fields))

    def _attempt(self, what: Operation, call: Callable[[], None]) -> None:
        """The stage's result matters more than its record."""
        trouble: Exception | None
        try:
            call()
            trouble = self._writer.trouble
        except Exception as error:
            self._lost.append(what)
            trouble = error
        if trouble is not None and not self._warned:
            self._warned = True
            log.warning("cannot keep in %s what MLflow is to know (%s); going on", ROOT, store.reason(trouble))
        self._sender.ask()


@contextmanager
def run(
    stage: str,
    params: "Params",
    *,
    data_hash: str | None = None,
    parent: Path | None = None,
    output: Path | None = None,
    folder: Path | None = None,
) -> Iterator[Tracked]:
    """Track one stage, which reads `parent` and writes `output`; both link it to other runs by their content.

    With a `folder`, the run that was begun there is gone on with. `data_hash` becomes a tag and the run's input.
    MixsteError if MLFLOW_TRACKING_URI can never work, before the stage begins.
    """
    settings = params.tracking
    tags = _origin(stage) | ({} if data_hash is None else {"data_hash": data_hash})
    begin = {"experiment": settings.experiment, "tags": tags, "above": None, "input_hash": _hash(parent)}
    store.wait_at_most(settings.timeout)
    tracked = Tracked(stage, Sender(store.default_store(), settings.timeout), folder, **begin)
    tracked.log_params(params)
    if data_hash is not None:
        tracked.log_dataset(params.data.name, data_hash, Path(params.data.folder))
    status = "FAILED"
    try:
        with machine_metrics(tracked.log_metrics, settings.system_metrics, tracked.began):
            yield tracked
        status = "FINISHED"
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        raise
    finally:
        made = _hash(output) if status == "FINISHED" else None
        if made is not None:
            tracked.set_tags({"output_hash": made})
        tracked.end(status)
        tracked.settle()


def run_of(made: Path | str) -> str | None:
    """Return the id of the newest run that made this output, a path or its hash; None without such a run or a store."""
    uri = store.default_store()
    try:
        output = made if isinstance(made, str) else _hash(made)
        return None if output is None else store.find_run(uri, "output_hash", output)
    except Exception as error:
        warn(uri, error)
        return None


def parent_of(run_id: str) -> str | None:
    """Return the id of the run whose output a run read; None without one or a store."""
    uri = store.default_store()
    try:
        return store.tags_of(uri, run_id).get(store.PARENT)
    except Exception as error:
        warn(uri, error)
        return None


def warn(uri: str, error: Exception) -> None:
    """Say that the store at `uri` does not answer, or that a call to it failed, and why."""
    log.warning("%s; going on without it", _why(uri, error))


def _origin(stage: str) -> dict[str, str]:
    commit, dirty = git_state()
    return {"stage": stage, "mlflow.source.git.commit": commit, "git_dirty": str(dirty).lower()}


def _hash(path: Path | None) -> str | None:
    try:
        return None if path is None else hash_of(path)
    except OSError:  # evaluate may be asked for other models than the one that is registered
        return None


def _why(uri: str, error: Exception) -> str:
    if store.unreachable(error):
        return f"MLflow at {shown(uri)} does not answer ({store.reason(error)})"
    return f"MLflow at {shown(uri)} failed ({type(error).__name__}: {store.reason(error)})"


def _named(left: Mapping[str, list[Operation]]) -> str:
    some = [f"{name}: {described(operations)}" for name, operations in list(left.items())[:3]]
    return "; ".join([*some, *([f"and {len(left) - 3} other runs"] if len(left) > 3 else [])])
