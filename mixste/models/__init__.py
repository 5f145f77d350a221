"""The lifters: every architecture by name."""

from torch import nn

from mixste.models.base import PoseModel
from mixste.models.mixste import MixSTE
from mixste.models.pstmo import PSTMO
from mixste.models.pstmo_masked import MaskedPSTMO
from mixste.models.stcformer import STCFormer, STCFormer3DHP
from mixste.recipe import ModelSettings

__all__ = ["CLASSES", "MixSTE", "PoseModel", "build_masked", "build_model", "count_parameters"]

CLASSES: dict[str, type[PoseModel]] = {
    "mixste": MixSTE,
    "pstmo": PSTMO,
    "stcformer": STCFormer,
    "stcformer_3dhp": STCFormer3DHP,
}


def build_model(settings: ModelSettings, *, joints: int) -> PoseModel:
    """A fresh model for a skeleton of so many joints, initialised from torch's global random state."""
    return CLASSES[settings.architecture](settings, joints)


def build_masked(settings: ModelSettings, *, joints: int) -> MaskedPSTMO:
    """A fresh masked network, whose weights `build_model` of the same settings takes over: P-STMO's stage I."""
    return MaskedPSTMO(settings, joints)


def count_parameters(model: nn.Module) -> int:
    """Numbers in a model's parameters as the field counts them: bare ones, norms, and what is there but never used."""
    return sum(parameter.numel() for parameter in model.parameters())
