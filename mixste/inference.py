"""A model over windows and over whole sequences, with test-time flip: used to validate, to evaluate and to lift."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from mixste.models import PoseModel
from mixste.sequences import Sequences
from mixste.windows import cut, gather, stitch


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
    """Lift windows `b t j 3` to `b t j 3`, metres, float32; with `flip`, the mean with the mirrored input's result."""
    inputs = keypoints[..., : model.settings.channels]
    with torch.inference_mode(), autocast(inputs.device, precision):
        predicted = model(inputs).float()
        if flip is not None:
            predicted = (predicted + mirror(model(mirror(inputs, flip)).float(), flip)) / 2
    return predicted


def lift_sequences(
    model: PoseModel,
    sequences: Sequences,
    *,
    flip: Tensor | None,
    overlap: int = 0,
    batch_size: int = 64,
    precision: str = "fp32",
) -> Tensor:
    """Lift every frame of every sequence once: `n j 3`, metres, camera axes, relative to the root as predicted.

    `overlap` is the number of frames of a window that the next one covers again; their predictions are blended.
    """
    frames = model.settings.frames
    windows = cut(sequences.offsets, frames, max(1, frames - overlap))
    model.eval()
    predicted, indices = [], []
    for which in torch.arange(len(windows), device=windows.starts.device).split(batch_size):
        index = windows.index(which)
        predicted.append(lift(model, gather(sequences.keypoints, index), flip=flip, precision=precision))
        indices.append(index)
    return stitch(torch.cat(predicted), torch.cat(indices), sequences.frames)
