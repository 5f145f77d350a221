"""The lifters: every architecture by name."""

from torch import nn

from mixste.models.base import PoseModel
from mixste.models.mixste import MixSTE
from mixste.recipe import ModelSettings

__all__ = ["CLASSES", "MixSTE", "PoseModel", "build_model", "count_parameters"]

CLASSES: dict[str, type[PoseModel]] = {"mixste": MixSTE}


def build_model(settings: ModelSettings, *, joints: int) -> PoseModel:
    """A fresh model for a skeleton of so many joints, initialised from torch's global random state."""
    return CLASSES[settings.architecture](settings, joints)


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers of a model, bare parameters and norms included."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
