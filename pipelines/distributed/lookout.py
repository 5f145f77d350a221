"""What the log says of machines: those that a training waits for, and those that come and go."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mixste.errors import counted
from pipelines.cluster import machines_alive, room
from pipelines.params import ClusterSettings
from pipelines.process.beside import Ended, beside

LOOK_S = 5.0
BUSY_S = 60.0  # longer than workers take to start; twice as long each time that it is told
log = logging.getLogger(__name__)


@contextmanager
def told_of_machines(
    settings: ClusterSettings, resources: Mapping[str, float], mailbox: Any, *, resumes: bool
) -> Iterator[None]:
    """Say when machines that training could use are not there, and when they are; and if others use them.

    `resources` are what each worker takes; `resumes`: there are epochs to go on from before any worker begins.
    """
    import ray

    lookout = _Lookout(settings, resources)

    def watch(ended: Ended) -> None:
        while not ended(LOOK_S):
            lookout.look(begun=ray.get(mailbox.has_begun.remote()), resumes=resumes)

    with beside(watch, patience=LOOK_S):
        yield


class _Lookout:
    def __init__(self, settings: ClusterSettings, resources: Mapping[str, float]) -> None:
        self._settings, self._resources = settings, resources
        self._room, self._told, self._pause = settings.workers, time.monotonic(), BUSY_S

    def look(self, *, begun: bool, resumes: bool) -> None:
        """Say what is new."""
        if not begun and time.monotonic() - self._told > self._pause:
            self._told, self._pause = time.monotonic(), 2 * self._pause
            self._say_what_is_waited_for()
        now, before = min(room(self._resources), self._settings.workers), self._room
        if now != before:
            self._room = now
            self._say_room("goes on from its last epoch" if begun or resumes else "begins")

    def _say_what_is_waited_for(self) -> None:
        import ray

        free = ray.available_resources()
        takes = {name: counted(float(amount), name) for name, amount in self._resources.items()}
        wanted = (f"{amount} ({free.get(name, 0):g} free)" for name, amount in takes.items())
        what = "machines" if self._settings.autoscaling else "others to end"
        log.warning("no worker has begun: each takes %s; waiting for %s", ", ".join(wanted), what)

    def _say_room(self, goes_on: str) -> None:
        most, least = self._settings.workers, self._settings.min_workers or self._settings.workers
        what = "waits for machines" if self._room < least else goes_on
        log.warning("%s: room for %d of %s; training %s", machines_alive(), self._room, counted(most, "worker"), what)
