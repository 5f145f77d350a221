"""A training run on disk: weights, kept weights, optimiser and progress in one safetensors file, whole or absent."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mixste.errors import MixsteError
from mixste.models.checkpoint import load_weights, read_tensors, write_tensors
from mixste.training import State, Trainer

FILE = "training.safetensors"


def save_training(folder: Path, trainer: Trainer) -> None:
    """Write everything that the next epoch needs to end in the same numbers."""
    tensors = {f"model/{name}": value.detach().cpu() for name, value in trainer.model.state_dict().items()}
    tensors |= {f"kept/{name}": value for name, value in trainer.kept.items()}
    for number, values in trainer.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{number}/{name}": torch.as_tensor(value).cpu() for name, value in values.items()}
    write_tensors(folder / FILE, tensors, {"progress": json.dumps(asdict(trainer.state))})


def restore_training(folder: Path, trainer: Trainer) -> None:
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
