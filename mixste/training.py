"""The training loop: plain torch, any device, one process or many, resumable at any epoch to the same numbers.

Every random draw is a function of the seed and the step, so a checkpoint holds no random state: window order and
corruption are drawn for the global batch, of which each process takes its share, stochastic depth also by process.
"""

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from mixste.errors import MixsteError
from mixste.inference import autocast, lift, mirror
from mixste.models import PoseModel
from mixste.objectives import Objective
from mixste.optimisation import build_optimiser, learning_rate
from mixste.recipe import TrainingSettings
from mixste.sequences import Sequences
from mixste.windows import cut, gather

MM = 1000.0


@dataclass
class State:
    """Where a run is: what a checkpoint holds beside model and optimiser."""

    epoch: int = 0
    best_epoch: int = 0
    best_mpjpe: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Trains a model on windows of sequences and keeps the weights of the epoch that validates best.

    In a process group the global batch is shared out by `rank`; the result does not depend on the number of
    processes beyond rounding (and stochastic depth). Raises MixsteError for data or settings that cannot train.
    """

    def __init__(
        self,
        model: PoseModel,
        objective: Objective,
        data: Sequences,
        validation: Sequences,
        settings: TrainingSettings,
        *,
        flip: tuple[int, ...],
        seed: int,
        device: torch.device,
        precision: str = "fp32",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if settings.batch_size < world:
            raise MixsteError(
                "cannot share out the batch",
                found=f"batch_size {settings.batch_size} for {world} workers",
                expected="at least one window a worker",
                mend="raise batch_size or lower cluster.workers",
            )
        if len(validation) == 0:
            raise MixsteError("nothing to validate on", found="no sequences", mend="check data.split")
        self.model = model.to(device)
        self.objective, self.settings = objective, settings
        self.seed, self.device, self.precision, self.rank, self.world = seed, device, precision, rank, world
        self.data, self.validation = data.to(device), validation.to(device)
        self.windows = cut(
            self.data.offsets, model.settings.frames, max(1, round(model.settings.frames * settings.stride))
        )
        self.flip = torch.tensor(flip, device=device)
        self.optimiser = build_optimiser(self.model, settings.optimiser)
        self.state = State()
        self.best = _copy(self.model)
        self._forward = DistributedDataParallel(self.model) if world > 1 else self.model
        self._share = slice(rank, None, world)
        self._order = _Order(len(self.windows), seed)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch, over all processes together."""
        return math.ceil((self.settings.windows_per_epoch or len(self.windows)) / self.settings.batch_size)

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train the epochs that are left; after each, yield its record (losses in metres, MPJPE in mm, frames/s)."""
        while self.state.epoch < self.settings.epochs:
            started = time.perf_counter()
            parts = self._train_epoch()
            trained = time.perf_counter() - started
            score = self.validate()
            self._refuse_divergence({**parts, "validation_mpjpe": score})
            self.state.epoch += 1
            record = {"epoch": self.state.epoch, "step": self.state.epoch * self.steps_per_epoch, **parts}
            record["validation_mpjpe"] = score
            self.state.history.append(dict(record))
            if score < self.state.best_mpjpe:
                self.state.best_mpjpe, self.state.best_epoch = score, self.state.epoch
                self.best = _copy(self.model)
            frames = self.steps_per_epoch * self.settings.batch_size * self.windows.frames
            yield {**record, "frames_per_second": frames / trained, "seconds": time.perf_counter() - started}

    def validate(self) -> float:
        """MPJPE in mm on evenly chosen validation windows, seen as in training, without flip."""
        self.model.eval()
        windows = cut(self.validation.offsets, self.windows.frames, self.windows.frames)
        count = min(len(windows), self.settings.validation_windows)
        chosen = torch.linspace(0, len(windows) - 1, count, device=self.device).round().long()
        total = torch.zeros(2, dtype=torch.float64, device=self.device)
        for number, which in enumerate(chosen.split(64)):
            keypoints, target = self._batch(self.validation, windows.index(which))
            inputs = self.objective.inputs(keypoints, self._generator(-1 - number))[self._share]
            errors = (lift(self.model, inputs, precision=self.precision) - target[self._share]).norm(dim=-1)
            total += torch.stack([errors.sum(dtype=torch.float64), total.new_tensor(errors.numel())])
        self._sum(total)
        return round(float(total[0] / total[1]) * MM, 4)

    def _train_epoch(self) -> dict[str, float]:
        self.model.train()
        totals: dict[str, Tensor] = {}
        first = self.state.epoch * self.steps_per_epoch
        for step in range(first, first + self.steps_per_epoch):
            for name, value in self._step(step).items():
                totals[name] = totals.get(name, torch.zeros((), device=self.device)) + value.detach()
        means = torch.stack(list(totals.values())).double() / self.steps_per_epoch
        self._sum(means)
        parts = dict(zip(totals, (means / self.world).tolist(), strict=True))
        self._refuse_divergence(parts)
        return {
            "lr": learning_rate(self.settings.optimiser, first, *self._schedule()),
            "loss": sum(parts.values()),
            **parts,
        }

    def _step(self, step: int) -> dict[str, Tensor]:
        which = self._order.batch(step, self.settings.batch_size).to(self.device)
        generator = self._generator(step)
        mirrored = torch.rand(len(which), device=self.device, generator=generator) < 0.5
        keypoints, target = self._batch(self.data, self.windows.index(which))
        inputs = self.objective.inputs(keypoints, generator)
        if self.settings.flip:
            chosen = mirrored[:, None, None, None]
            inputs = torch.where(chosen, mirror(inputs, self.flip), inputs)
            target = torch.where(chosen, mirror(target, self.flip), target)
        inputs, target = inputs[self._share], target[self._share]
        torch.manual_seed(_mixed(self.seed, step, self.rank))
        with autocast(self.device, self.precision):
            predicted = self._forward(inputs[..., : self.model.settings.channels]).float()
        weight = len(inputs) * self.world / len(which)
        parts = {name: value * weight for name, value in self.objective.loss(predicted, target).items()}
        self._update(torch.stack(list(parts.values())).sum(), step)
        return parts

    def _update(self, loss: Tensor, step: int) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.settings.optimiser.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.optimiser.clip)
        rate = learning_rate(self.settings.optimiser, step, *self._schedule())
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()

    def _refuse_divergence(self, parts: dict[str, float]) -> None:
        if not all(math.isfinite(value) for value in parts.values()):
            raise MixsteError(
                f"training diverged in epoch {self.state.epoch + 1}", found=f"losses {parts}", expected="finite losses",
                mend="lower optimiser.lr, or raise optimiser.warmup",
            )  # fmt: skip

    def _schedule(self) -> tuple[int, int]:
        return self.steps_per_epoch, self.settings.epochs

    def _batch(self, data: Sequences, index: Tensor) -> tuple[Tensor, Tensor]:
        joints = gather(data.joints, index)
        return gather(data.keypoints, index), joints - joints[..., :1, :]

    def _generator(self, step: int) -> Generator:
        return torch.Generator(self.device).manual_seed(_mixed(self.seed, step))

    def _sum(self, values: Tensor) -> None:
        if self.world > 1:
            distributed.all_reduce(values)


class _Order:
    """An endless stream of windows: one seeded permutation after the other."""

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
            generator = Generator().manual_seed(_mixed(self.seed, turn, "order"))
            self._passes = {
                **dict(list(self._passes.items())[-1:]),
                turn: torch.randperm(self.windows, generator=generator),
            }
        return self._passes[turn]


def _mixed(*parts: object) -> int:
    """A seed from numbers and names, the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=7).digest(), "big")


def _copy(model: PoseModel) -> dict[str, Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}
