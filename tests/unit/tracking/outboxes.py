"""Outboxes for the tests of sending them, in the current folder and for its store."""

from typing import Any

from pipelines.tracking import store
from pipelines.tracking.outbox import Outbox, Writer, open_outbox


def begin(name: str = "pretrain", **changes: Any) -> Writer:
    """Begin an outbox for the store of the test."""
    uri = store.default_store()
    plain = {"experiment": "mixste", "tags": {"stage": name}, "above": None, "input_hash": None, "folder": None}
    writer, _ = open_outbox(name, uri, None)
    writer.write("begin", **{"name": name, "uri": uri, **plain, **changes})
    return writer


def history(outbox: Outbox, metric: str) -> list[tuple[int, float]]:
    """Steps and values of a metric in the store."""
    found = store.client(outbox.begin["uri"]).get_metric_history(outbox.progress.run_id, metric)
    return [(one.step, one.value) for one in found]
