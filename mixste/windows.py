"""Long sequences to windows of a fixed number of frames, and predictions of windows back to sequences."""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from mixste.errors import MixsteError


@dataclass(frozen=True)
class Windows:
    """Where windows of `frames` frames lie: `index (w t)` into the frames of `Sequences`.

    A window that sticks out of its sequence repeats the sequence's `last` frame.
    """

    starts: Tensor
    last: Tensor
    frames: int

    def __len__(self) -> int:
        return len(self.starts)

    def index(self, which: Tensor) -> Tensor:
        """Frame numbers of some windows: `(w,) -> (w t)`."""
        steps = torch.arange(self.frames, device=self.starts.device)
        return torch.minimum(self.starts[which, None] + steps, self.last[which, None])


def cut(offsets: Tensor, frames: int, stride: int) -> Windows:
    """Cut sequences into windows that start every `stride` frames; the last one ends with its sequence.

    A sequence shorter than a window becomes one window, with its last frame repeated.
    """
    if frames < 1 or stride < 1:
        raise MixsteError(
            "cannot cut windows", found=f"{frames} frames, stride {stride}", expected="at least 1 of each"
        )
    starts: list[int] = []
    last: list[int] = []
    for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        final = max(begin, end - frames)
        own = [*range(begin, final, stride), final]
        starts += own
        last += [end - 1] * len(own)
    device = offsets.device
    return Windows(torch.tensor(starts, device=device), torch.tensor(last, device=device), frames)


def gather(values: Tensor, index: Tensor) -> Tensor:
    """Windows of per-frame values: `n j c` at `(w t)` -> `w t j c`."""
    flat = values.flatten(1).index_select(0, index.flatten())
    return flat.reshape(*index.shape, *values.shape[1:])


def stitch(predicted: Tensor, index: Tensor, total: int) -> Tensor:
    """Windows `w t j c` back to frames `n j c`: every frame once, the mean of the windows that cover it.

    Where windows overlap, a prediction counts less the nearer it is to its window's border.
    """
    frames = index.shape[1]
    distance = torch.arange(1, frames + 1, device=predicted.device, dtype=predicted.dtype)
    weight = torch.minimum(distance, distance.flip(0)).expand(index.shape).reshape(-1, 1)
    weighted = rearrange(predicted, "w t j c -> (w t) (j c)") * weight
    joints, channels = predicted.shape[2:]
    summed = predicted.new_zeros(total, joints * channels).index_add_(0, index.flatten(), weighted)
    counted = predicted.new_zeros(total, 1).index_add_(0, index.flatten(), weight)
    return (summed / counted.clamp_min(torch.finfo(predicted.dtype).tiny)).reshape(total, joints, channels)
