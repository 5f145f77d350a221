"""Dynamic batching: windows of all requests in progress go through the network together.

Ray's @serve.batch closes a batch while the one before still runs: what comes meanwhile is left out, or everybody pays a
waiting time. Here a batch is closed when the network is free: it holds all that came meanwhile, and a request that is
alone waits for nobody. Requests of any length mix, because what is batched is their windows.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import torch
from torch import Tensor

from mixste.inference import autocast
from mixste.models import PoseModel
from mixste.models.packed import packed

Run = Callable[[Tensor], Tensor]


class Batcher:
    """Calls `run` in a thread of its own, on the windows `w ...` of all who wait, first come first served.

    At most `most` windows at a time, more only if one caller brings more. If a batch fails, its callers are tried one
    by one, so that nobody fails for another. `error` is what the last call failed with, None if it did not.
    """

    def __init__(self, run: Run, most: int) -> None:
        self.error: Exception | None = None
        self._run, self._most = run, most
        self._waiting: deque[tuple[Tensor, Future[Tensor]]] = deque()
        self._came = threading.Condition()
        threading.Thread(target=self._serve, name="network", daemon=True).start()

    def __call__(self, windows: Tensor) -> Tensor:
        """Return what `run` makes of these windows; blocks until it is there."""
        future: Future[Tensor] = Future()
        with self._came:
            self._waiting.append((windows, future))
            self._came.notify()
        return future.result()

    def _serve(self) -> None:
        while True:
            batch = self._next()
            if not self._done(batch):
                for one in batch:
                    self._done([one], last=True)

    def _next(self) -> list[tuple[Tensor, Future[Tensor]]]:
        with self._came:
            self._came.wait_for(lambda: self._waiting)
            batch = [self._waiting.popleft()]
            size = len(batch[0][0])
            while self._waiting and size + len(self._waiting[0][0]) <= self._most:
                batch.append(self._waiting.popleft())
                size += len(batch[-1][0])
            return batch

    def _done(self, batch: list[tuple[Tensor, Future[Tensor]]], *, last: bool = False) -> bool:
        """Run a batch and hand out its results, or with `last` its error; False if that is still to be done."""
        try:
            results = self._run(torch.cat([windows for windows, _ in batch])).split([len(own) for own, _ in batch])
        except Exception as error:
            self.error = error
            if last:
                for _, future in batch:
                    future.set_exception(error)
            return last
        self.error = None
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
        return True


class Together(PoseModel):
    """A lifter's network, packed for its precision, that runs on the windows of all its callers' threads at once."""

    def __init__(self, network: PoseModel, *, most: int, precision: str) -> None:
        super().__init__(network.settings, network.joints)
        self.network, self.precision = packed(network, precision, next(network.parameters()).device), precision
        self.batcher = Batcher(self._run, most)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Lift windows `w t j c`, whenever their turn comes."""
        return self.batcher(keypoints)

    def _run(self, windows: Tensor) -> Tensor:
        with torch.inference_mode(), autocast(windows.device, self.precision):
            return self.network(windows)
