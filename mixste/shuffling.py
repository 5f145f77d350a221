"""In which order a training sees its windows, and seeds: functions of the run's seed and the step alone."""

import hashlib

import torch
from torch import Generator, Tensor

from mixste.errors import MixsteError


def mixed(*parts: object) -> int:
    """A seed from numbers and names, the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=7).digest(), "big")


class Order:
    """An endless stream of window numbers: one seeded permutation after the other."""

    def __init__(self, windows: int, seed: int) -> None:
        if windows == 0:
            raise MixsteError("nothing to train on", found="no windows", mend="check data.split and the recordings")
        self.windows, self.seed = windows, seed
        self._passes: dict[int, Tensor] = {}

    def batch(self, step: int, size: int) -> Tensor:
        """Window numbers (size,) of the global batch of a step."""
        positions = torch.arange(step * size, (step + 1) * size)
        turns = positions // self.windows
        return torch.stack(
            [self._turn(int(turn))[position % self.windows] for turn, position in zip(turns, positions, strict=True)]
        )

    def _turn(self, turn: int) -> Tensor:
        if turn not in self._passes:
            generator = Generator().manual_seed(mixed(self.seed, turn, "order"))
            self._passes = {
                **dict(list(self._passes.items())[-1:]),
                turn: torch.randperm(self.windows, generator=generator),
            }
        return self._passes[turn]
