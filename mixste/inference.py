"""A model over windows and over whole sequences, with test-time flip: used to validate, to evaluate and to lift."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from mixste.models import PoseModel
from mixste.recipe import ModelSettings
from mixste.sequences import Sequences
from mixste.windows import Windows, centre, cut, gather, stitch

_ACTIVATIONS = {"cpu": 2**21, "cuda": 2**25}  # numbers that one layer may give for a batch: a CPU's cache bounds them


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


def fitting_batch(model: PoseModel, device: torch.device) -> int:
    """Return how many windows a model of this size is best given at once on its device."""
    settings, most = model.settings, _ACTIVATIONS[device.type]
    return max(1, min(64, most // (settings.frames * model.joints * settings.width)))


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
    """Lift the windows of every sequence, a batch at a time: `w t j 3`, metres, camera axes, relative to its root.

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


def lift_sequences(model: PoseModel, sequences: Sequences, **how: Any) -> Tensor:
    """Lift every frame of every sequence once: `n j 3`, metres, camera axes, relative to the root as predicted.

    `how` is what `lift_windows` takes, by whose windows it is done. Where they overlap, their predictions are blended.
    Memory holds one batch of windows at a time.
    """
    return stitch(lift_windows(model, sequences, **how), sequences.frames)
