"""How far a long piece of work has come: a bar on a terminal, a line every few seconds in a log."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS = 5
log = logging.getLogger(__name__)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what is to be told, again and again, how much is done and of how much; short work leaves no line."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    started = shown = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown > SECONDS or (done == total and shown > started):
            shown = now
            left = round((now - started) * (total - done) / done)
            log.info("%s: %d of %d, %d:%02d left", title, done, total, *divmod(left, 60))

    yield tell
