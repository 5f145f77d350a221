"""The thread that sends outboxes beside a stage's work."""

import math
import threading
import time

from pipelines.tracking import store
from pipelines.tracking.outbox import ROOT
from pipelines.tracking.sending import send_all

LONGEST_PAUSE = 30.0


class Sender:
    """A thread that sends whenever it is asked to; while the store is away, or a file fails, ever more rarely."""

    def __init__(self, uri: str, timeout: float) -> None:
        import mlflow  # noqa: F401  (here: two threads that import at once may see half of a module)

        self.uri, self.timeout, self._root = uri, timeout, ROOT.absolute()
        self._patience = 2 * timeout if store.is_server(uri) else math.inf  # a new sqlite file takes its time
        self.away: Exception | None = None
        self._failed: dict[str, Exception] = {}
        self._changed = threading.Condition()
        self._asked, self._rests, self._closed = True, False, False
        self._begun = self._ended = self._failures = 0
        self._moved = time.monotonic()
        threading.Thread(target=self._work, name="outbox", daemon=True).start()

    def ask(self) -> None:
        """There is something to send."""
        with self._changed:
            self._asked = True
            if not self._rests:
                self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all is sent, a try fails, or a server is silent for twice the timeout; files may take longer."""
        with self._changed:
            wanted, failures, self._moved = self._begun + 1, self._failures, time.monotonic()
            self._asked, self.away, self._rests = True, None, False
            self._changed.notify_all()
            while not self._closed and self._ended < wanted and self._failures == failures:
                self._changed.wait(0.1)
                if store.silent(self._moved, self._patience):
                    self.away = self.away or TimeoutError("nothing moves any more")
                    return

    @property
    def trouble(self) -> Exception:
        """Why something stays."""
        return self.away or next(iter(self._failed.values()), TimeoutError("it is slow"))

    def close(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        pause = 1.0
        away: Exception | None
        while self._next(pause):
            try:
                failed = send_all(self.uri, self.timeout, moved=self._tell, root=self._root)
                away = next((error for error in failed.values() if store.unreachable(error)), None)
            except Exception as error:
                away, failed = error, {}
            rests = away is not None or any(isinstance(error, store.TransferError) for error in failed.values())
            pause = min(2 * pause, LONGEST_PAUSE) if rests else 1.0
            with self._changed:
                self.away, self._failed, self._rests, self._ended = away, failed, rests, self._begun
                self._failures += away is not None
                self._changed.notify_all()

    def _next(self, pause: float) -> bool:
        with self._changed:
            if self._rests:
                self._changed.wait_for(lambda: not self._rests or self._closed, pause)
            else:
                self._changed.wait_for(lambda: self._asked or self._closed)
            self._asked = False
            self._begun += 1
            return not self._closed

    def _tell(self) -> None:
        self._moved = time.monotonic()
