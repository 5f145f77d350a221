"""What one of several workers holds in memory: the sequences that its windows lie in, and where they lie there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from mixste.sequences import Sequences
from mixste.windows import Windows


class Source(Protocol):
    """Sequences that can be selected from: in memory, or tables whose frames are read then."""

    @property
    def offsets(self) -> Tensor:
        """Where each sequence begins (s + 1,)."""

    def __len__(self) -> int: ...

    def select(self, keep: Sequence[int]) -> Sequences:
        """Some of the sequences, in ascending order."""


@dataclass(frozen=True)
class Shard:
    """Sequences, and windows of which `own` may be asked for: those that lie in them."""

    data: Sequences
    windows: Windows
    own: Tensor

    def to(self, device: torch.device) -> "Shard":
        """The same on a device."""
        starts, first, last = (getattr(self.windows, name).to(device) for name in ("starts", "first", "last"))
        return Shard(self.data.to(device), replace(self.windows, starts=starts, first=first, last=last), self.own)


def shard_of(source: Source, windows: Windows, own: Tensor) -> Shard:
    """Select the sequences that the windows of the numbers `own` lie in; one sequence at least."""
    sequence = torch.searchsorted(source.offsets, windows.first, right=True) - 1
    kept = sequence[own].unique() if len(own) else sequence[:1]
    data = source.select(kept.tolist())
    moved = torch.zeros(len(source), dtype=torch.long)
    moved[kept] = data.offsets[:-1] - source.offsets[kept]
    starts, first, last = (edge + moved[sequence] for edge in (windows.starts, windows.first, windows.last))
    return Shard(data, replace(windows, starts=starts, first=first, last=last), own)
