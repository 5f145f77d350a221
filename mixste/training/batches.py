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
from mixste.recipe import ModelSettings, TrainingSettings
from mixste.seeds import mixed
from mixste.sequences import Sequences
from mixste.training.objectives import Objective
from mixste.training.shards import Source, shard_of
from mixste.training.shuffling import Order
from mixste.windows import gather, matching

VALIDATED_AT_ONCE = 64
DRAWN_AT_ONCE = 4096  # frames: a small batch is drawn with those that follow, for drawing is many small operations


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

    def inputs(self, keypoints: Tensor, places: Tensor, size: int, generator: Generator, batch: int) -> Tensor:
        """Keypoints at some places among `size` windows, in batches of so many, as the model shall see them."""
        if self.world == 1:
            return self.objective.inputs(keypoints, generator, batch)
        whole = keypoints.new_zeros(size, *keypoints.shape[1:])
        whole[places] = keypoints
        return self.objective.inputs(whole, generator, batch)[places]


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
    """The batches of a training, of which a process reads and sees the windows that it owns (see `shuffling`)."""

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
        self.together = max(1, DRAWN_AT_ONCE // (settings.batch_size * model.frames))
        self._first, self._shares = -1, list[Share]()

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-(self.settings.windows_per_epoch or self.order.windows) // self.settings.batch_size)

    def drawn(self, step: int) -> Share:
        """What this process sees of a step's batch.

        A share of fewer windows than `least` is filled up with its own again; one without any weighs nothing.
        """
        first = step - step % self.together
        if self._first != first:
            self._shares = []  # not held while the next are drawn
            self._first, self._shares = first, self._drawn(first)
        return self._shares[step - first]

    def _drawn(self, first: int) -> list[Share]:
        """The shares of the steps that are drawn together, from the first on."""
        view, size = self.view, self.order.size
        numbers = self.order.batch(first, self.together)
        places, weights = self._places((self.order.owner(numbers, view.world) == view.rank).unflatten(0, (-1, size)))
        owned = zip(places, weights, strict=True)
        own = torch.cat([numbers[each] if weight else self.spare.expand(len(each)) for each, weight in owned])
        lengths, own, at = [len(each) for each in places], view.sent(own), view.sent(torch.cat(places))
        generator = view.generator(first)
        halves = torch.rand(len(numbers), device=view.device, generator=generator) < 0.5
        keypoints, target = windows_of(self.shard.data, self.shard.windows.index(own // self.copies))
        mirrored = {"half": halves[at], "both": own % self.copies == 1}.get(self.settings.flip)
        if mirrored is not None:
            keypoints, target = (self._mirrored(values, mirrored) for values in (keypoints, target))
        inputs = view.inputs(keypoints, at, len(numbers), generator, size)
        parts = zip(*(values.split(lengths) for values in (inputs, target, at % size)), weights, strict=True)
        return [Share(seen, true, weight, where, size) for seen, true, where, weight in parts]

    def _places(self, owned: Tensor) -> tuple[list[Tensor], list[float]]:
        """Of batches of windows that are owned or not, `steps size`, where each share lies and what it weighs."""
        counts, size = owned.sum(dim=1).tolist(), self.order.size
        found = list(owned.flatten().nonzero().flatten().split(counts))
        for step, count in enumerate(counts):
            if not count:
                found[step] = torch.tensor([step * size])
            if len(found[step]) < self.least:
                found[step] = found[step].repeat(self.least)
        return found, [count * self.view.world / size for count in counts]

    def _mirrored(self, values: Tensor, which: Tensor) -> Tensor:
        return torch.where(which[:, None, None, None], mirror(values, self.flip), values)


class Validation:
    """Evenly chosen windows of the validation sequences, seen as in training, without flip."""

    def __init__(self, source: Source, model: ModelSettings, count: int, view: View) -> None:
        windows = cut_for(model, source.offsets, stride=1 if model.output == "centre" else model.frames)
        chosen = torch.linspace(0, len(windows) - 1, min(len(windows), count), dtype=torch.float64).round().long()
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
            inputs = self.view.inputs(keypoints, places, len(batch), generator, len(batch))
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
