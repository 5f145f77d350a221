"""One MLflow run a stage, and a stage that passes, warned, when the store does not answer or fails.

The store is `sqlite:///ABSOLUTE/mlflow.db` with artifacts in `mlartifacts/`, or the server of MLFLOW_TRACKING_URI.
Given its folder again, a stage goes on with the run it has there; `runs/tracking/STAGE.json` remembers the last ones.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import store
from pipelines.provenance import git_state

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pipelines.params import Params

log = logging.getLogger(__name__)
LAST_RUNS = Path("runs/tracking")


@dataclass
class Tracked:
    """A stage's run; without a store that answers it only remembers what was not logged. Survives pickling by Ray."""

    handle: store.Handle | None
    missed: list[str] = field(default_factory=list)

    def log_params(self, params: object) -> None:
        """Log nested settings (dataclasses, dictionaries) under dotted keys; what the run already has stays."""
        flat = flatten(params)
        self._attempt("parameters", lambda uri, run_id: store.log_params(uri, run_id, flat))

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers of one step (an epoch)."""

        def call(uri: str, run_id: str) -> None:
            from mlflow.entities import Metric

            now = int(time.time() * 1000)
            batch = [Metric(key, float(value), now, step) for key, value in metrics.items()]
            store.client(uri).log_batch(run_id, metrics=batch)

        known = any(what.startswith("metrics") for what in self.missed)
        self._attempt("" if known else f"metrics from step {step} on", call)

    def log_figure(self, figure: "Figure | Path", name: str = "") -> None:
        """Log a matplotlib figure as the file `name`, or a file as it is (`name`: the folder it is put into)."""

        def call(uri: str, run_id: str) -> None:
            if isinstance(figure, Path):
                store.client(uri).log_artifact(run_id, str(figure), name or None)
            else:
                store.client(uri).log_figure(run_id, figure, name)

        self._attempt(str(figure) if isinstance(figure, Path) else name, call)

    def log_dataset(self, name: str, digest: str, path: Path, context: str = "training") -> None:
        """Log data as the run's input: name, hash, place, and what it is for (training, validation, test)."""
        self._attempt(
            f"data set {name}", lambda uri, run_id: store.log_dataset(uri, run_id, name, digest, path, context)
        )

    def child(self, name: str, experiment: str, tags: Mapping[str, str], folder: Path) -> "Tracked":
        """Return a run below this one, which is gone on with if it was begun in `folder`; nobody's, without a store."""
        opened: list[store.Handle] = []

        def call(uri: str, run_id: str) -> None:
            above = {"mlflow.parentRunId": run_id}
            opened.append(store.open_run(uri, experiment, name, {**tags, **above}, folder))

        self._attempt(name, call)
        return Tracked(next(iter(opened), None))

    def steps(self, metric: str) -> int:
        """Return how many steps of a metric the run has."""
        found: list[object] = []
        self._attempt("", lambda uri, run_id: found.extend(store.client(uri).get_metric_history(run_id, metric)))
        return len(found)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags of the run."""

        def call(uri: str, run_id: str) -> None:
            for key, value in tags.items():
                store.client(uri).set_tag(run_id, key, str(value))

        self._attempt("tags " + ", ".join(tags), call)

    def end(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED, and name what was not logged."""
        self._attempt(f"status {status}", lambda uri, run_id: store.client(uri).set_terminated(run_id, status))
        if self.missed:
            log.warning("not logged to MLflow: %s", ", ".join(filter(None, self.missed)))

    def _attempt(self, what: str, call: Callable[[str, str], object]) -> None:
        if self.handle is not None:
            try:
                call(self.handle.uri, self.handle.run_id)
                return
            except Exception as error:  # the stage's result matters more than its record
                warn(self.handle.uri, error)
                self.handle = None
        self.missed.append(what)


@contextmanager
def run(
    stage: str,
    params: "Params",
    *,
    data_hash: str | None = None,
    parent: str | None = None,
    folder: Path | None = None,
) -> Iterator[Tracked]:
    """Track one stage; `parent` is the stage whose last run this one builds on. MLflow's failures never raise.

    With a `folder`, the run that is remembered there is gone on with. `data_hash` becomes a tag and the run's input.
    """
    tracked = Tracked(_open(stage, params, data_hash, parent, folder))
    tracked.log_params(params)
    if data_hash is not None:
        tracked.log_dataset(params.data.name, data_hash, Path(params.data.folder))
    try:
        yield tracked
    except BaseException as error:
        tracked.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    if tracked.handle is not None:
        store.remember(LAST_RUNS / f"{stage}.json", tracked.handle)
    tracked.end("FINISHED")


def last_run(stage: str) -> str | None:
    """Return the id of a stage's last finished run in the current store, if there is one."""
    handle = store.remembered(LAST_RUNS / f"{stage}.json")
    return handle.run_id if handle and handle.uri == store.tracking_uri() else None


def warn(uri: str, error: Exception) -> None:
    """Say that the store at `uri` does not answer, or that a call to it failed, and why."""
    reason = (str(error).splitlines() or [""])[0][:160]
    if store.unreachable(error):
        log.warning("MLflow at %s does not answer (%s); going on without it", uri, reason or type(error).__name__)
    else:
        log.warning("MLflow at %s failed (%s: %s); going on without it", uri, type(error).__name__, reason)


def flatten(tree: object, prefix: str = "") -> dict[str, object]:
    """Return nested dataclasses, dictionaries and lists of them as one dictionary with dotted keys."""
    if is_dataclass(tree) and not isinstance(tree, type):
        tree = asdict(tree)
    if isinstance(tree, tuple | list) and any(isinstance(item, Mapping) for item in tree):
        tree = dict(enumerate(tree))
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    flat: dict[str, object] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _open(
    stage: str, params: "Params", data_hash: str | None, parent: str | None, folder: Path | None
) -> store.Handle | None:
    uri = store.tracking_uri()
    commit, dirty = git_state()
    tags = {"stage": stage, "mlflow.source.git.commit": commit, "git_dirty": str(dirty).lower()}
    tags |= {} if data_hash is None else {"data_hash": data_hash}
    above = last_run(parent) if parent else None
    tags |= {} if above is None else {"mlflow.parentRunId": above}
    try:
        store.wait_at_most(params.tracking.timeout)
        store.reach(uri, params.tracking.timeout)
        return store.open_run(uri, params.tracking.experiment, stage, tags, folder)
    except Exception as error:
        warn(uri, error)
        return None
