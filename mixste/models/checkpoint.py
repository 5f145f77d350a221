"""Model folders: `model.safetensors` beside `config.json`, which says what the weights are and what they expect."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from mixste.errors import MixsteError
from mixste.files.whole import whole_file
from mixste.geometry import FRAME, SCREEN, UNITS
from mixste.models import PoseModel, build_model
from mixste.recipe import ModelSettings
from mixste.skeleton import load_skeleton

WEIGHTS, CONFIG = "model.safetensors", "config.json"
KINDS = ("lifter", "masked")
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a model's numbers mean: skeleton, fps, units and frames of input and output, and where it comes from.

    `kind` is "lifter", or "masked" for the network of masked pre-training, which recovers 2D and cannot lift. `screen`
    and `frame` are what every model here takes and gives; a folder that says otherwise is refused.
    """

    model: ModelSettings
    skeleton: str
    fps: float
    kind: str = "lifter"
    screen: str = f"{SCREEN}; confidence 0..1"
    unit: str = "m"
    frame: str = f"{FRAME}, root-relative"
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def joints(self) -> int:
        """Joints of the skeleton."""
        return len(load_skeleton(self.skeleton).joints)


def save_model(folder: Path, weights: dict[str, Tensor], config: ModelConfig) -> None:
    """Write a model folder's two files, each whole or not at all."""
    write_tensors(folder / WEIGHTS, weights)
    with whole_file(folder / CONFIG) as partial:
        partial.write_text(json.dumps(asdict(config), indent=2, sort_keys=True) + "\n")


def load_model(folder: str | Path) -> tuple[PoseModel, ModelConfig]:
    """Read a lifter's folder, in evaluation mode on the CPU; every key and shape must fit.

    Raises MixsteError naming the file and what does not fit, also for the folder of a masked network.
    """
    folder = Path(folder)
    config = read_config(folder)
    if config.kind != "lifter":
        raise MixsteError(
            f"the model in {folder} cannot lift",
            found=f"a {config.kind} network, which recovers hidden 2D keypoints",
            expected="a lifter",
            mend="fine-tune from it: models/finetuned lifts",
        )
    model = build_model(config.model, joints=config.joints)
    load_weights(model, read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    return model.eval(), config


def read_config(folder: str | Path) -> ModelConfig:
    """Read what a model folder says of its model."""
    path = Path(folder) / CONFIG
    try:
        values = json.loads(path.read_text())
        settings = ModelSettings(**values.pop("model"))
        config = ModelConfig(model=settings, **values)
    except FileNotFoundError:
        raise MixsteError(f"no model in {folder}", found="no config.json", expected=f"{CONFIG} and {WEIGHTS}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MixsteError(
            f"cannot read {path}", found=str(error), expected=f"the keys {[f.name for f in fields(ModelConfig)]}"
        ) from error
    known = {"kind": KINDS, "unit": UNITS, "frame": (ModelConfig.frame,), "screen": (ModelConfig.screen,)}
    wrong = {name: ", ".join(words) for name, words in known.items() if getattr(config, name) not in words}
    if isinstance(config.fps, bool) or not isinstance(config.fps, int | float) or not 0 < config.fps < math.inf:
        wrong["fps"] = "a number above 0"
    if wrong:
        raise MixsteError(
            f"cannot use the model in {folder}",
            found="; ".join(f"{name} {getattr(config, name)!r}" for name in wrong),
            expected="; ".join(f"{name}: {words}" for name, words in wrong.items()),
        )
    return config


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all; raises MixsteError where it cannot be written."""
    # Not `save_file`: a full disk would be a SafetensorError, which `whole_file` cannot explain.
    with whole_file(path) as partial:
        partial.write_bytes(save({name: value.contiguous() for name, value in sorted(tensors.items())}, metadata))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; raises MixsteError for anything else."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise MixsteError(f"cannot read {path}", found="no such file") from None
    except SafetensorError as error:
        raise MixsteError(f"cannot read {path}", found=f"not a whole safetensors file ({error})") from error


def load_weights(
    model: torch.nn.Module, weights: dict[str, Tensor], origin: Path, *, fresh: tuple[str, ...] = ()
) -> None:
    """Put weights into a model; refuses, by name, any key that is missing, extra or of another shape.

    Keys of the model that begin with one of `fresh` keep their values and must not be given.
    """
    own = model.state_dict()
    wanted = {name: tuple(value.shape) for name, value in own.items() if not name.startswith(fresh)}
    given = {name: tuple(value.shape) for name, value in weights.items()}
    if problems := misfits(wanted, given):
        raise MixsteError(
            f"the weights in {origin} do not fit this model",
            found=problems,
            expected="the same keys and shapes",
            mend="use the model settings that the weights were trained with",
        )
    model.load_state_dict({**own, **weights})


def misfits(wanted: Shapes, given: Shapes) -> str:
    """The keys that are missing, unknown or of another shape, in words; nothing if there is none."""
    problems = [f"no {name}" for name in sorted(wanted.keys() - given.keys())]
    problems += [f"unknown {name}" for name in sorted(given.keys() - wanted.keys())]
    shared = sorted(wanted.keys() & given.keys())
    problems += [f"{name} is {given[name]}, not {wanted[name]}" for name in shared if given[name] != wanted[name]]
    return "; ".join(problems[:6]) + (f"; and {len(problems) - 6} more" if len(problems) > 6 else "")
