"""The training loop: plain torch, any device, one process or many, resumable at any epoch to the same numbers.

Every random draw is a function of the seed and the step, so a checkpoint holds no random state: window order,
corruption and masks are drawn for the global batch, of which each process takes the windows that it owns, what the
network draws (stochastic depth, dropout) also by process.

`jobs` is a whole training as one value; a trainer sees `batches`, drawn by `shuffling` from a process's `shards`, asks
of a model what `objectives` say, steps as `optimisation` says, and its `state` is on disk after every epoch.
"""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Generator, Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode

from mixste.errors import MixsteError
from mixste.inference import autocast
from mixste.machine.hardware import Stopwatch, enough_memory, memory_peak, peak_flops, refuse_without_compiler
from mixste.models import MaskedModel, PoseModel, compile_blocks, recompute_blocks
from mixste.models.layers import paths_drawn
from mixste.recipe import Execution, TrainingSettings
from mixste.seeds import mixed
from mixste.training.batches import VALIDATED_AT_ONCE, Batches, Share, Validation, View
from mixste.training.objectives import Objective
from mixste.training.optimisation import build_optimiser, learning_rate
from mixste.training.shards import Source
from mixste.training.state import State

THOUSAND = 1000.0
PLAIN = Execution()
Parts = dict[str, Tensor]


class Trainer:
    """Trains a model on windows of sequences and keeps the weights of the best or of the last epoch.

    In a process group each process reads only the sequences of the windows that it owns. The result depends neither on
    how many there are nor on the `execution` beyond rounding, dropout, and batch norm: its statistics
    are of one part of a process's share of a batch, and the running ones the mean over processes.
    Raises MixsteError for data or settings that cannot train.
    """

    def __init__(
        self,
        model: PoseModel | MaskedModel,
        objective: Objective,
        data: Source,
        validation: Source,
        settings: TrainingSettings,
        *,
        flip: tuple[int, ...],
        seed: int,
        device: torch.device,
        precision: str = "fp32",
        rank: int = 0,
        world: int = 1,
        execution: Execution = PLAIN,
    ) -> None:
        self._least = 2 if any(isinstance(module, _BatchNorm) for module in model.modules()) else 1
        _refuse_small_parts(self._least, settings.batch_size, world, execution.accumulate)
        if len(validation) == 0:
            raise MixsteError("nothing to validate on", found="no sequences", mend="check data.split")
        self.model, self.objective, self.settings = model.to(device), objective, settings
        self.seed, self.device, self.precision, self.execution = seed, device, precision, execution
        self.view = View(objective=objective, flip=flip, seed=seed, device=device, rank=rank, world=world)
        self.batches = Batches(data, model.settings, settings, self.view, self._least)
        self.validation = Validation(validation, model.settings, settings.validation_windows, self.view)
        self.optimiser = build_optimiser(self.model, settings.optimiser)
        self.state = State()
        self.kept = _copy(self.model)
        self._drawing, self._operations = Stopwatch(device), self._count_operations()
        if execution.compile:
            refuse_without_compiler(device)
            compile_blocks(self.model)
        if execution.recompute:
            recompute_blocks(self.model)
        charge = _Charge(self.model, objective, precision)
        self._charge = DistributedDataParallel(charge, broadcast_buffers=False) if world > 1 else charge

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch, over all processes together."""
        return len(self.batches)

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train the epochs that are left; after each, yield its record.

        Losses are in metres or screen units, the validation score in the unit of the objective's metric, seconds of a
        step (and of those, what it waited for data), memory in GiB.
        """
        while self.state.epoch < self.settings.epochs:
            started = time.perf_counter()
            parts = self._train_epoch()
            trained = time.perf_counter() - started
            score = {self.objective.metric.column: self.validate()}
            self._refuse_divergence({**parts, **score})
            self.state.epoch += 1
            record = {"epoch": self.state.epoch, "step": self.state.epoch * self.steps_per_epoch, **parts, **score}
            self.state.history.append(record)
            self.state.timings.append({**self._speed(trained), "seconds": time.perf_counter() - started})
            self._keep(*score.values())
            yield self.state.records[-1]

    def validate(self) -> float:
        """Mean error of the validation windows in the metric's unit; frames that are not valid do not count."""
        self.model.eval()
        total = torch.zeros(2, dtype=torch.float64, device=self.device)
        with enough_memory(f"{VALIDATED_AT_ONCE} windows of validation", "end what else takes that memory"):
            for inputs, target, index, generator in self.validation:
                with torch.inference_mode(), autocast(self.device, self.precision):
                    errors = self.objective.errors(self.model, inputs, target, generator)
                errors = self.validation.counted(errors, index)
                total += torch.stack([errors.sum(dtype=torch.float64), total.new_tensor(errors.numel())])
        self._sum(total)
        return round(float(total[0] / total[1]) * THOUSAND, 4)

    def _train_epoch(self) -> dict[str, float]:
        self.model.train()
        totals: Parts = {}
        first = self.state.epoch * self.steps_per_epoch
        with enough_memory(
            f"batches of {self.settings.batch_size} windows",
            "compute a batch in parts, cluster.accumulate=2 or more, or blocks twice, cluster.recompute=true; or end "
            "what else takes that memory",
        ):
            for step in range(first, first + self.steps_per_epoch):
                totals = _added(totals, self._step(step))
        self._average_statistics()
        means = torch.stack(list(totals.values())).double() / self.steps_per_epoch
        parts = dict(zip(totals, self._mean(means).tolist(), strict=True))
        self._refuse_divergence(parts)
        return {
            "lr": learning_rate(self.settings.optimiser, first, *self._schedule()),
            "loss": sum(parts.values()),
            **parts,
        }

    def _step(self, step: int) -> Parts:
        with self._drawing:
            share = self.batches.drawn(step)
        self.optimiser.zero_grad(set_to_none=True)
        self._seed(step)
        parts = self._charged(share, step)
        self._update(torch.stack(list(parts.values())).sum(), step)
        return parts

    def _seed(self, step: int) -> None:
        """Begin what the network draws itself; `torch.manual_seed` takes a millisecond where there is no GPU."""
        begin = torch.default_generator.manual_seed if self.device.type == "cpu" else torch.manual_seed
        begin(mixed(self.seed, step, self.view.rank))

    def _charged(self, share: Share, step: int) -> Parts:
        """Gradients of a share of a batch, part by part, and its loss; processes meet at the last part."""
        count = min(self.execution.accumulate, len(share.inputs) // self._least)
        whole = (share.inputs, share.target, share.places)
        totals: Parts = {}
        for number, piece in enumerate(zip(*(values.tensor_split(count) for values in whole), strict=True), start=1):
            inputs, target, places = piece
            drawn = paths_drawn(self.model, inputs, places, share.windows, self.view.generator(step, "paths"))
            with drawn, nullcontext() if number == count else self._apart():
                found = self._charge(inputs, target, self.view.generator(step, "loss"))
                weight = share.weight * len(inputs) / len(share.inputs)
                parts = {name: value * weight for name, value in found.items()}
                torch.stack(list(parts.values())).sum().backward()
            totals = _added(totals, parts)
        return totals

    def _apart(self) -> AbstractContextManager:
        """Where gradients are not yet averaged over the processes."""
        return self._charge.no_sync() if isinstance(self._charge, DistributedDataParallel) else nullcontext()

    def _update(self, loss: Tensor, step: int) -> None:
        if self.objective.squared:
            torch._foreach_mul_(_gradients(self.model), self._mean(loss))
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

    def _speed(self, trained: float) -> dict[str, float]:
        """Of an epoch's training, without validation: its speed, the memory that it took, and on a GPU its MFU."""
        steps = self.steps_per_epoch
        frames = steps * self.settings.batch_size * self.model.settings.frames
        speed = {
            "frames_per_second": frames / trained,
            "step_seconds": trained / steps,
            "data_seconds": self._drawing.read() / steps,
            "memory_peak_gib": memory_peak(self.device),
        }
        peak = peak_flops(self.device, self.precision)
        if peak is None:
            return speed
        windows = steps * self.settings.batch_size / self.view.world
        return {**speed, "mfu": windows * self._operations / trained / peak}

    def _count_operations(self) -> int:
        """Of a window, forward and backward, on a GPU whose peak is known: three times those of the forward pass."""
        if peak_flops(self.device, self.precision) is None:
            return 0
        blank = torch.zeros(1, self.model.settings.frames, self.model.joints, 3, device=self.device)
        self.model.eval()
        with torch.no_grad(), autocast(self.device, self.precision), FlopCounterMode(display=False) as counter:
            self.objective.loss(self.model, blank, blank, self.view.generator("operations"))
        return 3 * counter.get_total_flops()

    def _refuse_divergence(self, parts: dict[str, float]) -> None:
        if not all(math.isfinite(value) for value in parts.values()):
            raise MixsteError(
                f"training diverged in epoch {self.state.epoch + 1}", found=f"losses {parts}", expected="finite losses",
                mend="lower optimiser.lr, or raise optimiser.warmup",
            )  # fmt: skip

    def _schedule(self) -> tuple[int, int]:
        return self.steps_per_epoch, self.settings.epochs

    def _average_statistics(self) -> None:
        """Every process goes on with the mean of all processes' running statistics (batch norm)."""
        for values in self.model.buffers():
            if values.is_floating_point():
                values.copy_(self._mean(values.clone()))

    def _mean(self, values: Tensor) -> Tensor:
        self._sum(values)
        return values / self.view.world

    def _sum(self, values: Tensor) -> None:
        if self.view.world > 1:
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


def _refuse_small_parts(least: int, batch_size: int, world: int, accumulate: int) -> None:
    if batch_size // (world * accumulate) >= least:
        return
    split = f"{world} worker{'s'[: world > 1]}"
    raise MixsteError(
        "cannot share out the batch",
        found=f"batch_size {batch_size} for {split}" + (f", each in {accumulate} parts" if accumulate > 1 else ""),
        expected="two windows or more at once, for batch norm" if least > 1 else "a window at least for each",
        mend="raise batch_size, or lower cluster.workers or cluster.accumulate",
    )


def _added(totals: Parts, parts: Parts) -> Parts:
    return {name: value.detach() + totals.get(name, 0) for name, value in parts.items()}


def _gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}
