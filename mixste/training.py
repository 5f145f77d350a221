"""The training loop: plain torch, any device, one process or many, resumable at any epoch to the same numbers.

Every random draw is a function of the seed and the step, so a checkpoint holds no random state: window order,
corruption and masks are drawn for the global batch, of which each process takes its share, what the network draws
(stochastic depth, dropout) also by process.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from mixste.errors import MixsteError
from mixste.inference import autocast, cut_for, mirror
from mixste.models import MaskedModel, PoseModel
from mixste.objectives import Objective
from mixste.optimisation import build_optimiser, learning_rate
from mixste.recipe import TrainingSettings
from mixste.sequences import Sequences
from mixste.shuffling import Order, mixed
from mixste.windows import gather, matching

THOUSAND = 1000.0


@dataclass
class State:
    """Where a run is: what a checkpoint holds beside model and optimiser; `kept` is the epoch whose weights are."""

    epoch: int = 0
    kept_epoch: int = 0
    kept_score: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Trains a model on windows of sequences and keeps the weights of the best or of the last epoch.

    In a process group the global batch is shared out by `rank`. The result does not depend on the number of processes
    beyond rounding, what the network draws, and batch norm: its statistics are of one process's share, and the running
    ones the mean over processes. Raises MixsteError for data or settings that cannot train.
    """

    def __init__(
        self,
        model: PoseModel | MaskedModel,
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
        _refuse_small_shares(model, settings.batch_size, world)
        if len(validation) == 0:
            raise MixsteError("nothing to validate on", found="no sequences", mend="check data.split")
        self.model = model.to(device)
        self.objective, self.settings = objective, settings
        self.seed, self.device, self.precision, self.rank, self.world = seed, device, precision, rank, world
        self.data, self.validation = data.to(device), validation.to(device)
        self.windows = cut_for(model.settings, self.data.offsets, stride=settings.stride, place=settings.place)
        self.flip = torch.tensor(flip, device=device)
        self.optimiser = build_optimiser(self.model, settings.optimiser)
        self.state = State()
        self.kept = _copy(self.model)
        charge = _Charge(self.model, objective, precision)
        self._charge = DistributedDataParallel(charge, broadcast_buffers=False) if world > 1 else charge
        self._share = slice(rank, None, world)
        self._order = Order(len(self.windows) * (2 if settings.flip == "both" else 1), seed)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch, over all processes together."""
        return math.ceil((self.settings.windows_per_epoch or self._order.windows) / self.settings.batch_size)

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train the epochs that are left; after each, yield its record.

        Losses are in metres or screen units, the validation score in the unit of the objective's metric.
        """
        while self.state.epoch < self.settings.epochs:
            started = time.perf_counter()
            parts = self._train_epoch()
            trained = time.perf_counter() - started
            score = {self.objective.metric.column: self.validate()}
            self._refuse_divergence({**parts, **score})
            self.state.epoch += 1
            record = {"epoch": self.state.epoch, "step": self.state.epoch * self.steps_per_epoch, **parts, **score}
            self.state.history.append(dict(record))
            self._keep(*score.values())
            frames = self.steps_per_epoch * self.settings.batch_size * self.windows.frames
            yield {**record, "frames_per_second": frames / trained, "seconds": time.perf_counter() - started}

    def validate(self) -> float:
        """Mean error of evenly chosen validation windows in the metric's unit, seen as in training, without flip.

        Frames that are not valid do not count.
        """
        self.model.eval()
        settings, data = self.model.settings, self.validation
        windows = cut_for(settings, data.offsets, stride=1 if settings.output == "centre" else settings.frames)
        count = min(len(windows), self.settings.validation_windows)
        chosen = torch.linspace(0, len(windows) - 1, count, device=self.device).round().long()
        total = torch.zeros(2, dtype=torch.float64, device=self.device)
        for number, which in enumerate(chosen.split(64)):
            generator = self._generator(-1 - number)
            index = windows.index(which)
            keypoints, target = self._batch(data, index)
            inputs = self.objective.inputs(keypoints, generator)[self._share]
            with torch.inference_mode(), autocast(self.device, self.precision):
                errors = self.objective.errors(self.model, inputs, target[self._share], generator)
            if data.valid is not None:
                errors = errors[data.valid[matching(index[self._share], errors)]]
            total += torch.stack([errors.sum(dtype=torch.float64), total.new_tensor(errors.numel())])
        self._sum(total)
        return round(float(total[0] / total[1]) * THOUSAND, 4)

    def _train_epoch(self) -> dict[str, float]:
        self.model.train()
        totals: dict[str, Tensor] = {}
        first = self.state.epoch * self.steps_per_epoch
        for step in range(first, first + self.steps_per_epoch):
            for name, value in self._step(step).items():
                totals[name] = totals.get(name, torch.zeros((), device=self.device)) + value.detach()
        self._average_statistics()
        means = torch.stack(list(totals.values())).double() / self.steps_per_epoch
        parts = dict(zip(totals, self._mean(means).tolist(), strict=True))
        self._refuse_divergence(parts)
        return {
            "lr": learning_rate(self.settings.optimiser, first, *self._schedule()),
            "loss": sum(parts.values()),
            **parts,
        }

    def _step(self, step: int) -> dict[str, Tensor]:
        numbers = self._order.batch(step, self.settings.batch_size).to(self.device)
        generator = self._generator(step)
        chosen = torch.rand(len(numbers), device=self.device, generator=generator) < 0.5
        mirrored = {"half": chosen, "both": numbers >= len(self.windows)}.get(self.settings.flip)
        keypoints, target = self._batch(self.data, self.windows.index(numbers % len(self.windows)))
        if mirrored is not None:
            keypoints, target = (self._mirrored(values, mirrored) for values in (keypoints, target))
        inputs = self.objective.inputs(keypoints, generator)[self._share]
        target = target[self._share]
        torch.manual_seed(mixed(self.seed, step, self.rank))
        weight = len(inputs) * self.world / len(numbers)
        parts = {name: value * weight for name, value in self._charge(inputs, target, generator).items()}
        self._update(torch.stack(list(parts.values())).sum(), step)
        return parts

    def _update(self, loss: Tensor, step: int) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        if self.objective.squared:
            loss = loss * self._mean(loss.detach().clone())
        loss.backward()
        if self.settings.optimiser.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.optimiser.clip)
        rate = learning_rate(self.settings.optimiser, step, *self._schedule())
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        self.optimiser.step()

    def _keep(self, score: float) -> None:
        if self.settings.keep == "last" or score < self.state.kept_score:
            self.state.kept_score, self.state.kept_epoch = score, self.state.epoch
            self.kept = _copy(self.model)

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
        return gather(data.keypoints, index), joints - joints[..., data.root, None, :]

    def _mirrored(self, values: Tensor, which: Tensor) -> Tensor:
        return torch.where(which[:, None, None, None], mirror(values, self.flip), values)

    def _generator(self, step: int) -> Generator:
        return torch.Generator(self.device).manual_seed(mixed(self.seed, step))

    def _average_statistics(self) -> None:
        """Every process goes on with the mean of all processes' running statistics (batch norm)."""
        for values in self.model.buffers():
            if values.is_floating_point():
                values.copy_(self._mean(values.clone()))

    def _mean(self, values: Tensor) -> Tensor:
        self._sum(values)
        return values / self.world

    def _sum(self, values: Tensor) -> None:
        if self.world > 1:
            distributed.all_reduce(values)


class _Charge(nn.Module):
    """Model and objective as one module, so that DistributedDataParallel sees everything that is charged."""

    def __init__(self, model: PoseModel | MaskedModel, objective: Objective, precision: str) -> None:
        super().__init__()
        self.model, self.objective, self.precision = model, objective, precision

    def forward(self, inputs: Tensor, target: Tensor, generator: Generator) -> dict[str, Tensor]:
        """Parts of the loss of one process's share of a batch."""
        with autocast(inputs.device, self.precision):
            return self.objective.loss(self.model, inputs, target, generator)


def _refuse_small_shares(model: nn.Module, batch_size: int, world: int) -> None:
    normed = any(isinstance(module, _BatchNorm) for module in model.modules())
    least = 2 if normed else 1
    if batch_size // world < least:
        raise MixsteError(
            "cannot share out the batch",
            found=f"batch_size {batch_size} for {world} worker{'s'[: world > 1]}",
            expected="two windows a worker or more, for batch norm" if normed else "at least one window a worker",
            mend="raise batch_size or lower cluster.workers",
        )


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}
