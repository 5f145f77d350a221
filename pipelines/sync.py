"""Send to MLflow what earlier runs could not: `python -m pipelines.sync` says what was sent and what is left."""

import logging

from mixste.errors import shown
from pipelines import tracking
from pipelines.params import load
from pipelines.process.stage import run
from pipelines.tracking import store
from pipelines.tracking.outbox import ROOT, outboxes
from pipelines.tracking.sending import described, send_all

log = logging.getLogger(__name__)


def main() -> None:
    """Send all that waits for the present store; exit status 1 if some of it stays."""
    uri, timeout = store.default_store(), load().tracking.timeout
    store.wait_at_most(timeout)
    waiting = {outbox.name: (outbox, outbox.pending) for outbox in outboxes() if outbox.pending}
    try:
        failed = send_all(uri, timeout)
    except Exception as error:
        failed = {}
        tracking.warn(uri, error)
    for name, (outbox, before) in waiting.items():
        left = outbox.pending
        if len(left) < len(before):
            log.info("sent: %s: %s", name, described(before[: len(before) - len(left)]))
    if not waiting:
        log.info("nothing waits to be sent")
    if _report_left(uri, failed):
        raise SystemExit(1)


def _report_left(uri: str, failed: dict[str, Exception]) -> bool:
    """Name what is left and why; say whether any of it is for the store at `uri`."""
    ours = waiting = 0
    for outbox in outboxes():
        left = outbox.pending
        if left:
            waiting, ours = waiting + 1, ours + outbox.is_for(uri)
            place = shown(outbox.begin.get("uri"))
            why = store.reason(failed[outbox.name]) if outbox.name in failed else f"for {place}"
            log.warning("left: %s: %s (%s)", outbox.name, described(left), why)
        for operation in outbox.refused:
            log.warning("refused: %s: %s (%s)", outbox.name, described([operation]), operation["why"])
    if waiting:
        log.warning(
            "what is left waits in %s for the store that it was logged for; `rm -r %s/NAME` drops a run's, and "
            "docs/configuration.md (MLflow) says how to send it to another store",
            ROOT,
            ROOT,
        )
    return ours > 0


if __name__ == "__main__":
    run(main)
