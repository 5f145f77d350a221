"""From outboxes on disk to MLflow: in order, by one sender at a time, and again without doubling anything."""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.process.locks import in_turn
from pipelines.tracking import store
from pipelines.tracking.outbox import ROOT, Operation, Outbox, Progress, outboxes

log = logging.getLogger(__name__)
_BATCH = 1000


class RunGoneError(Exception):
    """The run was deleted in the store."""


class ParentWaitsError(Exception):
    """The run above this one is not in the store yet."""


def send_all(
    uri: str, timeout: float, *, moved: Callable[[], None] = lambda: None, root: Path = ROOT
) -> dict[str, Exception]:
    """Send what waits for the store at `uri`, older runs first; return why some of it stays, by the outbox's name.

    Raises ConnectionError if the store does not answer within `timeout` seconds. `moved` is told of every step.
    """
    failed: dict[str, Exception] = {}
    with in_turn(root):
        store.knock(uri, timeout)
        for outbox in outboxes(root):
            if not outbox.is_for(uri):
                continue
            try:
                outbox.end_if_killed()
                send(outbox, uri, moved)
                outbox.remove_if_done()
            except Exception as error:
                failed[outbox.name] = error
                if store.unreachable(error):
                    break
    return failed


def send(outbox: Outbox, uri: str, moved: Callable[[], None] = lambda: None) -> None:
    """Send what is left of an outbox to the store at `uri`; a run that was deleted there is begun anew."""
    try:
        _send(outbox, uri, moved)
    except RunGoneError:
        outbox.note(Progress())
        _send(outbox, uri, moved)


def _send(outbox: Outbox, uri: str, moved: Callable[[], None]) -> None:
    progress = outbox.progress
    if outbox.journal.stat().st_size <= progress.sent:
        return
    for operations, end in _batches(outbox.operations(progress.sent)):
        kind = operations[0]["op"]
        if kind == "begin":
            progress = replace(progress, run_id=_begin(outbox, uri, operations[0]))
        elif progress.run_id is not None:
            _deliver(outbox, uri, progress.run_id, operations)
        progress = replace(progress, sent=end)
        outbox.note(progress)
        if kind == "file":
            shutil.rmtree((outbox.place / operations[0]["path"]).parent, ignore_errors=True)
        moved()


def _batches(operations: Iterator[tuple[Operation, int]]) -> Iterator[tuple[list[Operation], int]]:
    """Metrics that follow each other together, everything else alone; each with the byte where it ends."""
    batch: list[Operation] = []
    end = count = 0
    for operation, position in operations:
        metrics = operation["op"] == "metrics"
        if batch and (not metrics or count >= _BATCH):
            yield batch, end
            batch, count = [], 0
        if metrics:
            batch, end, count = [*batch, operation], position, count + len(operation["values"])
        else:
            yield [operation], position
    if batch:
        yield batch, end


def _begin(outbox: Outbox, uri: str, begin: Operation) -> str:
    tags = dict(begin["tags"])
    if begin["above"] is not None:
        above = Outbox(outbox.place.with_name(begin["above"]))
        run_id = above.progress.run_id or store.find_run(uri, store.MARK, above.name)
        if run_id is None and above.journal.exists():
            raise ParentWaitsError(f"the run of {above.name} is not in the store yet")
        tags |= {} if run_id is None else {store.PARENT: run_id}
    elif begin["input_hash"] is not None:
        run_id = store.find_run(uri, "output_hash", begin["input_hash"])
        tags |= {"input_hash": begin["input_hash"]}
        tags |= {} if run_id is None else {store.PARENT: run_id}
    return store.open_run(uri, begin["experiment"], begin["name"], outbox.name, tags, begin["time"])


def _deliver(outbox: Outbox, uri: str, run_id: str, operations: Sequence[Operation]) -> None:
    """Send operations of one kind; what the store refuses for good is found among them, named and set aside."""
    try:
        _call(outbox, uri, run_id, operations)
        return
    except Exception as error:
        if not store.refuses(error):
            raise
        if not store.active(uri, run_id):
            raise RunGoneError from error
        parts = [part for operation in operations for part in _parts(operation)]
        if len(parts) == 1:
            why = store.reason(error)
            outbox.set_aside(parts[0], why)
            log.warning("MLflow refuses %s (%s); set aside in %s", described(parts), why, outbox.place)
            return
    half = len(parts) // 2
    for some in (parts[:half], parts[half:]):
        for batch, _ in _batches((part, 0) for part in some):
            _deliver(outbox, uri, run_id, batch)


def _parts(operation: Operation) -> list[Operation]:
    values = operation.get("values", {})
    return [{**operation, "values": {key: value}} for key, value in values.items()] or [operation]


def _call(outbox: Outbox, uri: str, run_id: str, operations: Sequence[Operation]) -> None:
    first = operations[0]
    match first["op"]:
        case "params":
            store.log_params(uri, run_id, first["values"])
        case "metrics":
            store.log_metrics(
                uri,
                run_id,
                [(key, value, one["time"], one["step"]) for one in operations for key, value in one["values"].items()],
            )
        case "tags":
            store.log_tags(uri, run_id, first["values"])
        case "input":
            store.log_dataset(uri, run_id, first["name"], first["digest"], first["source"], first["context"])
        case "file":
            place = outbox.place / first["path"]
            if place.exists():  # a copy is removed only after it was sent
                store.log_file(uri, run_id, place, first["folder"])
        case "status":
            store.set_status(uri, run_id, first["status"], first["time"])


def described(operations: Sequence[Operation]) -> str:
    """Say what operations are, for a person: kinds, steps and names, each once."""
    steps = sorted({operation["step"] for operation in operations if operation["op"] == "metrics"})
    names = [_named(operation) for operation in operations if operation["op"] != "metrics"]
    if steps:
        keys = list(dict.fromkeys(key for one in operations if one["op"] == "metrics" for key in one["values"]))
        what = f"metric {keys[0]}" if len(keys) == 1 else "metrics"
        names.append(f"{what} of step {steps[0]}" + (f" to {steps[-1]}" if len(steps) > 1 else ""))
    return ", ".join(dict.fromkeys(names))


def _named(operation: Operation) -> str:
    match operation["op"]:
        case "begin":
            return "the run itself"
        case "params":
            return "parameters" if len(operation["values"]) > 1 else f"parameter {next(iter(operation['values']), '')}"
        case "tags":
            return "tags " + ", ".join(operation["values"])
        case "input":
            return f"data set {operation['name']}"
        case "file":
            return Path(operation["path"]).name
    return f"status {operation['status']}"
