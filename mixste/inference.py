"""A model over windows and over whole sequences, with test-time flip: used to validate, to evaluate and to lift."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from mixste.models import PoseModel
from mixste.recipe import ModelSettings
from mixste.sequences import Sequences
from mixste.windows import Windows, centre, cut, gather, stitch

# Multiply-adds of a forward pass that are worth a core: below, cores wait for each other more than they help.
# Measured on two: `tiny` (40 million a step) trains as fast on one as on both, `small` (720) 1.2 to 1.4 times faster.
WORTH_A_CORE = 300e6


def cores_worth(macs: float) -> int:
    """How many cores a forward pass of so many multiply-adds is worth."""
    return max(1, int(macs // WORTH_A_CORE))


@contextmanager
def threads_worth(macs: float) -> Iterator[None]:
    """Let torch work on as many of its threads as forward passes of so many multiply-adds are worth."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, cores_worth(macs)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Run matrix products in `bf16`, or everything in `fp32`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def mirror(values: Tensor, flip: Tensor) -> Tensor:
    """Swap left and right: negate x of `... j c` and exchange the joints by the permutation `flip` (j).

    For tensors, on their device; `mixste.geometry.flip_pose` does the same to arrays, without torch.
    """
    mirrored = values.index_select(-2, flip)
    return torch.cat([-mirrored[..., :1], mirrored[..., 1:]], dim=-1)


def lift(model: PoseModel, keypoints: Tensor, *, flip: Tensor | None = None, precision: str = "fp32") -> Tensor:
    """Lift windows `b t j 3`: metres, float32, what the model's `output` keeps of them, `b t j 3` or `b 1 j 3`.

    With `flip`, the mean with the mirrored input's result.
    """
    inputs = keypoints[..., : model.settings.channels]
    with torch.inference_mode(), autocast(inputs.device, precision):
        predicted = model(inputs).float()
        if flip is not None:
            predicted = (predicted + mirror(model(mirror(inputs, flip)).float(), flip)) / 2
    return keep(predicted, model.settings)


def keep(windows: Tensor, settings: ModelSettings) -> Tensor:
    """What lifting keeps of windows `w t ...`: every frame, or the centre."""
    return centre(windows) if settings.output == "centre" else windows


def cut_for(settings: ModelSettings, offsets: Tensor, *, stride: int, place: str = "inside") -> Windows:
    """Windows as a model of these settings is given them: at `place`, or around frames if it keeps the centre.

    Windows that lie `before` are so for either.
    """
    if settings.output == "centre" and place != "before":
        place = "around"
    return cut(offsets, settings.frames, stride, step=settings.step, place=place)


def lift_windows(
    model: PoseModel,
    sequences: Sequences,
    *,
    flip: Tensor | None,
    overlap: int = 0,
    batch_size: int = 64,
    precision: str = "fp32",
    tell: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Lift the windows of every sequence, a batch at a time: `w t j 3`, metres, camera axes, relative to the root.

    With them come the numbers of their frames, `w t`. `overlap` is the number of frames of a window that the next one
    covers again. A model that keeps the centre frame is given a window for every frame instead. `tell` is told after
    each batch how many windows are done, and of how many.
    """
    settings = model.settings
    stride = 1 if settings.output == "centre" else max(1, settings.frames - overlap)
    windows = cut_for(settings, sequences.offsets, stride=stride)
    model.eval()

    def lifted(which: Tensor) -> tuple[Tensor, Tensor]:
        index = windows.index(which)
        predicted = lift(model, gather(sequences.keypoints, index), flip=flip, precision=precision)
        if tell:
            tell(int(which[-1]) + 1, len(windows))
        return predicted, keep(index, settings)

    numbers = torch.arange(len(windows), device=windows.starts.device)
    return map(lifted, numbers.split(batch_size))


def lift_sequences(
    model: PoseModel,
    sequences: Sequences,
    *,
    flip: Tensor | None,
    overlap: int = 0,
    batch_size: int = 64,
    precision: str = "fp32",
    tell: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Lift every frame of every sequence once, by the windows of `lift_windows`: `n j 3`, as predicted.

    Where windows overlap, their predictions are blended. Memory holds one batch of windows at a time.
    """
    windows = lift_windows(
        model, sequences, flip=flip, overlap=overlap, batch_size=batch_size, precision=precision, tell=tell
    )
    return stitch(windows, sequences.frames)
