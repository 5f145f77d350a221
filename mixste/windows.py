"""Long sequences to windows of a fixed number of frames, and predictions of windows back to sequences."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from mixste.errors import MixsteError


@dataclass(frozen=True)
class Windows:
    """Where windows of `frames` frames, `step` apart, lie: `index (w t)` into the frames of `Sequences`.

    A window that sticks out of its sequence, before it, after it or both, repeats the sequence's `first` and `last`
    frame: every window has all of its frames.
    """

    starts: Tensor
    first: Tensor
    last: Tensor
    frames: int
    step: int = 1

    def __len__(self) -> int:
        return len(self.starts)

    def index(self, which: Tensor) -> Tensor:
        """Frame numbers of some windows: `(w,) -> (w t)`."""
        steps = torch.arange(self.frames, device=self.starts.device) * self.step
        inside = torch.maximum(self.starts[which, None] + steps, self.first[which, None])
        return torch.minimum(inside, self.last[which, None])


def cut(offsets: Tensor, frames: int, stride: int, *, step: int = 1, place: str = "inside") -> Windows:
    """Cut sequences into windows of `frames` frames, `step` apart, a window for every `stride` frames.

    `inside`: the first begins and the last ends with its sequence, which may bring the last two nearer; a sequence
    shorter than a window becomes one window that repeats the last frame. `over`: as many as cover the sequence, its
    middle in theirs, so that they stick out as far on either side. `around`: around the frames 0, stride, 2 stride, ...
    `before`: as STCFormer's code has it for strides above 1, half of `frames` before the last frame of each of as many
    chunks of `stride` frames as cover the sequence; early windows then hold little but its first frame.
    """
    if min(frames, stride, step) < 1:
        found = f"{frames} frames, stride {stride}, step {step}"
        raise MixsteError("cannot cut windows", found=found, expected="at least 1 of each")
    starts = _STARTS[place]
    own = [starts(length, frames, step, stride) for length in offsets.diff().tolist()]
    counts = torch.tensor([len(each) for each in own], dtype=torch.long, device=offsets.device)
    first, last = (edge.repeat_interleave(counts) for edge in (offsets[:-1], offsets[1:] - 1))
    return Windows(torch.cat([*own, torch.arange(0)]).to(offsets.device) + first, first, last, frames, step)


def _inside(length: int, frames: int, step: int, stride: int) -> Tensor:
    final = max(0, length - _span(frames, step))
    return torch.tensor([*range(0, final, stride), final])


def _over(length: int, frames: int, step: int, stride: int) -> Tensor:
    span = _span(frames, step)
    more = -(-max(0, length - span) // stride)
    return torch.arange(more + 1) * stride - (span + more * stride - length) // 2


def _around(length: int, frames: int, step: int, stride: int) -> Tensor:
    return torch.arange(0, length, stride) - _span(frames, step) // 2


def _before(length: int, frames: int, step: int, stride: int) -> Tensor:
    chunks = -(-length // stride)
    last = torch.arange(1, chunks + 1) * stride - (chunks * stride - length) // 2 - 1
    return last - (frames // 2 if stride > 1 else 0) - _span(frames, step) // 2


def _span(frames: int, step: int) -> int:
    return (frames - 1) * step + 1


_STARTS: dict[str, Callable[[int, int, int, int], Tensor]] = {
    "inside": _inside,
    "over": _over,
    "around": _around,
    "before": _before,
}


def centre(windows: Tensor) -> Tensor:
    """The centre frame of windows of an odd number of frames: `w t ... -> w 1 ...`."""
    middle = windows.shape[1] // 2
    return windows[:, middle : middle + 1]


def matching(windows: Tensor, others: Tensor) -> Tensor:
    """Windows `w t ...` where `others` have as many frames, their centre frame where those have one."""
    return windows if windows.shape[1] == others.shape[1] else centre(windows)


def gather(values: Tensor, index: Tensor) -> Tensor:
    """Windows of per-frame values: `n j c` at `(w t)` -> `w t j c`."""
    flat = values.flatten(1).index_select(0, index.flatten())
    return flat.reshape(*index.shape, *values.shape[1:])


def stitch(parts: Iterable[tuple[Tensor, Tensor]], total: int) -> Tensor:
    """Windows `w t j c` at `index (w t)`, batch after batch, back to frames `n j c`: every frame once.

    Where windows overlap, a frame is the mean of the windows that cover it; a prediction counts less the nearer it is
    to its window's border. Raises MixsteError for no windows at all.
    """
    summed = counted = None
    for predicted, index in parts:
        if summed is None or counted is None:
            summed = predicted.new_zeros(total, *predicted.shape[2:])
            counted = predicted.new_zeros(total)
        blend(summed, counted, predicted, index)
    if summed is None or counted is None:
        raise MixsteError("nothing to stitch", found="no windows")
    return weighted_mean(summed, counted)


def blend(summed: Tensor, counted: Tensor, predicted: Tensor, index: Tensor) -> None:
    """Add windows `w t j c` at `index (w t)`, weighted, to `summed (n j c)`, and the weights to `counted (n)`."""
    weight = _weights(predicted).expand(index.shape).flatten()
    weighted = rearrange(predicted, "w t j c -> (w t) j c") * weight[:, None, None]
    summed.index_add_(0, index.flatten(), weighted)
    counted.index_add_(0, index.flatten(), weight)


def weighted_mean(summed: Tensor, counted: Tensor) -> Tensor:
    """Return what was blended, `n j c`; a frame that no window covers is 0."""
    return summed / counted.clamp_min(torch.finfo(summed.dtype).tiny)[:, None, None]


def _weights(predicted: Tensor) -> Tensor:
    """How much each frame of a window counts: 1 at the border, 2 beside it, ... (t)."""
    distance = torch.arange(1, predicted.shape[1] + 1, device=predicted.device, dtype=predicted.dtype)
    return torch.minimum(distance, distance.flip(0))
