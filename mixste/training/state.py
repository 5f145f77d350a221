"""A training run on disk: weights, kept weights, optimiser and progress in one safetensors file, whole or absent."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mixste.errors import MixsteError
from mixste.models.checkpoint import load_weights, read_tensors, write_tensors

if TYPE_CHECKING:
    from mixste.training import Trainer

FILE = "training.safetensors"


@dataclass
class State:
    """Where a run is: what a checkpoint holds beside model and optimiser; `kept` is the epoch whose weights are.

    `history` is the same whenever the run is repeated, `timings` of the same epochs are not.
    """

    epoch: int = 0
    kept_epoch: int = 0
    kept_score: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)
    timings: list[dict[str, float]] = field(default_factory=list, compare=False)

    @property
    def records(self) -> list[dict[str, float]]:
        """What is reported of each epoch."""
        return [{**record, **timing} for record, timing in zip(self.history, self.timings, strict=True)]


def save_training(folder: Path, trainer: "Trainer") -> None:
    """Write everything that the next epoch needs to end in the same numbers."""
    tensors = {f"model/{name}": value.detach().cpu() for name, value in trainer.model.state_dict().items()}
    tensors |= {f"kept/{name}": value for name, value in trainer.kept.items()}
    for number, values in trainer.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{number}/{name}": torch.as_tensor(value).cpu() for name, value in values.items()}
    write_tensors(folder / FILE, tensors, {"progress": json.dumps(asdict(trainer.state))})


def restore_training(folder: Path, trainer: "Trainer") -> None:
    """Put a trainer back where `save_training` left it; raises MixsteError for a file of another model."""
    path = folder / FILE
    tensors = read_tensors(path)
    load_weights(trainer.model, _below(tensors, "model/"), path)
    trainer.kept = _below(tensors, "kept/")
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimiser/").items():
        number, key = name.split("/")
        states.setdefault(int(number), {})[key] = value
    trainer.optimiser.load_state_dict({**trainer.optimiser.state_dict(), "state": states})
    trainer.state = read_state(folder)


def read_state(folder: Path) -> State:
    """Read only how far a run is: epochs, kept score, history."""
    try:
        with safe_open(folder / FILE, framework="pt") as file:
            return State(**json.loads(file.metadata()["progress"]))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise MixsteError(
            f"cannot read {folder / FILE}", found=str(error), mend="delete it; training starts again"
        ) from error


def kept_weights(folder: Path) -> dict[str, Tensor]:
    """Weights of the epoch that is kept: the one that validated best, or the last."""
    return _below(read_tensors(folder / FILE), "kept/")


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
