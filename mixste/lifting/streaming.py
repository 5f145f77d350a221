"""Windows over a sequence of any length, whose frames are read when needed, blended as in `lift_sequences`."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from mixste.inference import keep, lift
from mixste.models import PoseModel
from mixste.recipe import ModelSettings
from mixste.windows import Windows, blend, gather, weighted_mean

Read = Callable[[int, int], Tensor]
PLAIN: Any = {"dtype": torch.float32, "device": "cpu"}  # whatever torch's defaults are


def stream(
    model: PoseModel,
    read: Read,
    frames: int,
    *,
    flip: Tensor | None,
    overlap: int,
    batch_size: int,
    precision: str,
    tell: Callable[[int, int], None] | None = None,
) -> Iterator[Tensor]:
    """Yield a sequence's `frames` frames, lifted and in order, in blocks `n j 3`; `read(a, b)` gives `b-a j c`.

    Memory holds what a batch of windows needs. `tell` is told how many frames are done, and of how many.
    """
    starts = _starts(model.settings, frames, overlap)
    unfinished = _Unfinished(model.joints)
    for batch in range(0, len(starts), batch_size):
        windows = _windows(starts[batch : batch + batch_size], frames, model.settings)
        index = windows.index(torch.arange(len(windows)))
        first, last = int(index.min()), int(index.max()) + 1
        keypoints = read(first, last)
        lifted = lift(model, gather(keypoints, (index - first).to(keypoints.device)), flip=flip, precision=precision)
        unfinished.add(lifted.cpu(), keep(index, model.settings))
        yield unfinished.take(_finished(starts[batch + batch_size :], frames, model.settings))
        if tell:
            tell(unfinished.first, frames)


class _Unfinished:
    """Frames from `first` on that windows yet to come may cover."""

    def __init__(self, joints: int) -> None:
        self.first = 0
        self._summed, self._counted = torch.zeros(0, joints, 3, **PLAIN), torch.zeros(0, **PLAIN)

    def add(self, lifted: Tensor, index: Tensor) -> None:
        """Blend windows in, `w t j 3` at frames `index (w t)`."""
        more = max(0, int(index.max()) + 1 - self.first - len(self._summed))
        self._summed = torch.cat([self._summed, lifted.new_zeros(more, *lifted.shape[2:])])
        self._counted = torch.cat([self._counted, lifted.new_zeros(more)])
        blend(self._summed, self._counted, lifted, index - self.first)

    def take(self, until: int) -> Tensor:
        """Return the frames before `until`, which are finished."""
        ready, self.first = until - self.first, until
        done = weighted_mean(self._summed[:ready], self._counted[:ready])
        self._summed, self._counted = self._summed[ready:], self._counted[ready:]
        return done


def _starts(settings: ModelSettings, frames: int, overlap: int) -> range:
    """Where windows begin: around every frame, or inside, all but the last (see `_windows`)."""
    if settings.output == "centre":
        return range(-(settings.span // 2), frames - settings.span // 2)
    stride = max(1, settings.frames - overlap)
    return range(0, max(0, frames - settings.span) + stride, stride)


def _windows(starts: range, frames: int, settings: ModelSettings) -> Windows:
    begin = torch.tensor(starts)
    if settings.output == "sequence":
        begin = begin.clamp(max=max(0, frames - settings.span))
    edge = torch.zeros_like(begin)
    return Windows(begin, edge, edge + frames - 1, settings.frames, settings.step)


def _finished(to_come: range, frames: int, settings: ModelSettings) -> int:
    """Return the first frame that windows to come cover."""
    if not to_come:
        return frames
    if settings.output == "centre":
        return to_come[0] + settings.span // 2
    return min(to_come[0], max(0, frames - settings.span))
