"""In which order a training sees its windows: a function of the run's seed and the step alone.

Windows lie in runs of neighbours, up to 1024. A worker owns every world-th run and trains on its windows only, so it
reads no other clips; every batch has as many windows of each worker, give or take one where a pass ends and where the
number of workers is no power of two. The order itself knows nothing of workers.
"""

import torch
from torch import Generator, Tensor

from mixste.errors import MixsteError
from mixste.seeds import mixed

RUNS = 1024  # at most, and so many workers have something of their own to train on
_WINDOWS_PER_RUN = 4  # at least


class Order:
    """An endless stream of window numbers, pass after pass, each window once a pass, for batches of `size`.

    Each pass takes one window of every run, drawn at random, then another of every run, and so on. Among any `size`
    (or the next smaller power of two) windows in a row, the remainders of their runs' numbers by that are all
    different: what a worker owns by remainders is spread over the batches evenly.
    """

    def __init__(self, windows: int, seed: int, size: int) -> None:
        if windows == 0:
            raise MixsteError("nothing to train on", found="no windows", mend="check data.split and the recordings")
        self.windows, self.seed, self.size = windows, seed, size
        self.runs = _power_of_two(min(RUNS, max(1, windows // _WINDOWS_PER_RUN)))
        whole, more = divmod(windows, self.runs)
        self._lengths = torch.full((self.runs,), whole) + (torch.arange(self.runs) < more)
        self._ends = self._lengths.cumsum(0)
        self._passes: dict[int, Tensor] = {}

    def batch(self, step: int, steps: int = 1) -> Tensor:
        """Window numbers (size,) of the global batch of a step, or of so many from it on (steps size,)."""
        first, end = step * self.size, (step + steps) * self.size
        parts = []
        while first < end:
            turn, position = divmod(first, self.windows)
            parts.append(self._turn(turn)[position : position + end - first])
            first += len(parts[-1])
        return torch.cat(parts)

    def owner(self, numbers: Tensor, world: int) -> Tensor:
        """Which of `world` workers owns each window."""
        return torch.searchsorted(self._ends, numbers, right=True) % world

    def _turn(self, turn: int) -> Tensor:
        if turn not in self._passes:
            self._passes = {**dict(list(self._passes.items())[-1:]), turn: self._drawn(turn)}
        return self._passes[turn]

    def _drawn(self, turn: int) -> Tensor:
        """One pass: the runs' windows, each run's in its own random order, taken row by row of all runs."""
        generator = Generator().manual_seed(mixed(self.seed, turn, "order"))
        run = torch.arange(self.runs).repeat_interleave(self._lengths)
        draws = torch.rand(self.windows, dtype=torch.float64, generator=generator)
        shuffled = (run + draws).argsort(stable=True)
        rows, starts = self.windows // self.runs, self._ends - self._lengths
        runs = self._runs_of_rows(rows, generator)
        whole = starts[runs] + torch.arange(rows)[:, None]
        rest = starts[: self.windows % self.runs] + rows
        return shuffled[torch.cat([whole.flatten(), rest])]

    def _runs_of_rows(self, rows: int, generator: Generator) -> Tensor:
        """Run numbers `rows runs`: each row a permutation in which neighbours differ by their remainders."""
        apart = min(self.runs, _power_of_two(self.size))
        order = torch.rand((rows, self.runs // apart, apart), generator=generator).argsort(dim=1)
        return (order * apart + torch.arange(apart)).flatten(1)


def _power_of_two(number: int) -> int:
    """The largest power of two that is not above `number`."""
    return 1 << (number.bit_length() - 1)
