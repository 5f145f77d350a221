"""What a process sees of a training's batches and of its validation: its own windows, mirrored and corrupted by draws.

Draws are made for the whole of a batch, as functions of the seed and the step, so that a window looks the same
whichever process owns it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from mixste.inference import cut_for, mirror
from mixste.objectives import Objective
from mixste.recipe import ModelSettings, TrainingSettings
from mixste.sequences import Sequences
from mixste.shards import Source, shard_of
from mixste.shuffling import Order, mixed
from mixste.windows import gather, matching

VALIDATED_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class View:
    """How a process sees data: which of `world` it is, on what device, by which seed and objective."""

    objective: Objective
    flip: tuple[int, ...]
    seed: int
    device: torch.device
    rank: int = 0
    world: int = 1

    def generator(self, *of: object) -> Generator:
        """Draws that are the same in every process."""
        return torch.Generator(self.device).manual_seed(mixed(self.seed, *of))

    def sent(self, values: Tensor) -> Tensor:
        """The values on the device, without waiting for what it still has to do."""
        return values.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else values

    def inputs(self, keypoints: Tensor, places: Tensor, size: int, generator: Generator) -> Tensor:
        """Keypoints at some places of a batch of `size` windows as the model shall see them."""
        if self.world == 1:
            return self.objective.inputs(keypoints, generator)
        whole = keypoints.new_zeros(size, *keypoints.shape[1:])
        whole[places] = keypoints
        return self.objective.inputs(whole, generator)[places]


class Share(NamedTuple):
    """A process's windows of a batch as the model sees them, their targets, and how much their mean loss weighs.

    `places` is where they are among the batch's `windows`.
    """

    inputs: Tensor
    target: Tensor
    weight: float
    places: Tensor
    windows: int


class Batches:
    """The batches of a training, of which a process reads and sees the windows that it owns (`mixste.shuffling`)."""

    def __init__(
        self, source: Source, model: ModelSettings, settings: TrainingSettings, view: View, least: int
    ) -> None:
        windows = cut_for(model, source.offsets, stride=settings.stride, place=settings.place)
        self.settings, self.view, self.least = settings, view, least
        self.copies = 2 if settings.flip == "both" else 1
        self.order = Order(len(windows) * self.copies, view.seed, settings.batch_size)
        numbers = torch.arange(self.order.windows)
        own = numbers[self.order.owner(numbers, view.world) == view.rank]
        self.spare = own[:1] if len(own) else numbers[:1]
        self.shard = shard_of(source, windows, torch.cat([own, self.spare]) // self.copies).to(view.device)
        self.flip = torch.tensor(view.flip, device=view.device)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-(self.settings.windows_per_epoch or self.order.windows) // self.settings.batch_size)

    def drawn(self, step: int) -> Share:
        """What this process sees of a step's batch.

        A share of fewer windows than `least` is filled up with its own again; one without any weighs nothing.
        """
        numbers, view = self.order.batch(step), self.view
        places = (self.order.owner(numbers, view.world) == view.rank).nonzero().flatten()
        weight = len(places) * view.world / len(numbers)
        own = numbers[places] if len(places) else self.spare
        places = places if len(places) else torch.zeros(1, dtype=torch.long)
        if len(own) < self.least:
            own, places = own.repeat(self.least), places.repeat(self.least)
        own, places = view.sent(own), view.sent(places)
        generator = view.generator(step)
        halves = torch.rand(len(numbers), device=view.device, generator=generator) < 0.5
        keypoints, target = windows_of(self.shard.data, self.shard.windows.index(own // self.copies))
        mirrored = {"half": halves[places], "both": own % self.copies == 1}.get(self.settings.flip)
        if mirrored is not None:
            keypoints, target = (self._mirrored(values, mirrored) for values in (keypoints, target))
        inputs = view.inputs(keypoints, places, len(numbers), generator)
        return Share(inputs, target, weight, places, len(numbers))

    def _mirrored(self, values: Tensor, which: Tensor) -> Tensor:
        return torch.where(which[:, None, None, None], mirror(values, self.flip), values)


class Validation:
    """Evenly chosen windows of the validation sequences, seen as in training, without flip."""

    def __init__(self, source: Source, model: ModelSettings, count: int, view: View) -> None:
        windows = cut_for(model, source.offsets, stride=1 if model.output == "centre" else model.frames)
        chosen = torch.linspace(0, len(windows) - 1, min(len(windows), count)).round().long()
        self.view, self.batches = view, chosen.split(VALIDATED_AT_ONCE)
        own = torch.cat([self._own(batch) for batch in self.batches])
        self.shard = shard_of(source, windows, own).to(view.device)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Generator]]:
        """Inputs and targets of this process's windows, their frames' numbers, and draws for the model."""
        for number, batch in enumerate(self.batches):
            generator = self.view.generator(-1 - number)
            index = self.shard.windows.index(self._own(batch).to(self.view.device))
            places = self._own(torch.arange(len(batch), device=self.view.device))
            keypoints, target = windows_of(self.shard.data, index)
            inputs = self.view.inputs(keypoints, places, len(batch), generator)
            if len(index):
                yield inputs, target, index, generator

    def counted(self, errors: Tensor, index: Tensor) -> Tensor:
        """The errors of frames that are valid."""
        valid = self.shard.data.valid
        return errors if valid is None else errors[valid[matching(index, errors)]]

    def _own(self, values: Tensor) -> Tensor:
        return values[self.view.rank :: self.view.world]


def windows_of(data: Sequences, index: Tensor) -> tuple[Tensor, Tensor]:
    """Keypoints and root-relative joints of windows at `index (w t)`: `w t j 3` each."""
    joints = gather(data.joints, index)
    return gather(data.keypoints, index), joints - joints[..., data.root, None, :]
