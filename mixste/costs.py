"""How large a model is and what a window costs it, for any settings: parameters and multiply-adds."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml

from mixste.errors import MixsteError
from mixste.models import build_masked, build_model, count_parameters
from mixste.models.checkpoint import CONFIG, read_config
from mixste.recipe import ModelSettings
from mixste.settings.typed import build

MODELS = Path("conf/model")
JOINTS = 17


@dataclass(frozen=True)
class Cost:
    """Sizes of a lifter and, for P-STMO, the parameters of its stage I; multiply-adds are of one window."""

    frames: int
    joints: int
    parameters: int
    buffers: int
    linear_macs: int
    all_macs: int
    stage_1: int | None


def cost(settings: ModelSettings, joints: int) -> Cost:
    """Count without making weights."""
    with torch.device("meta"):
        model = build_model(settings, joints=joints)
        masked = build_masked(settings, joints=joints) if settings.architecture == "pstmo" else None
    kept = model.state_dict().keys()
    return Cost(
        frames=settings.frames,
        joints=joints,
        parameters=count_parameters(model),
        buffers=sum(value.numel() for name, value in model.named_buffers() if name in kept),
        linear_macs=model.linear_macs(settings.frames),
        all_macs=model.all_macs(settings.frames),
        stage_1=None if masked is None else count_parameters(masked),
    )


def costs(
    model: str, *, frames: list[int] | None = None, joints: int | None = None, channels: int | None = None
) -> list[Cost]:
    """Count a model of conf/model, of a YAML file or of a model folder; what is not given is the model's own.

    Raises MixsteError for a model that is not there and for settings that cannot be.
    """
    settings, own = find(model)
    settings = replace(settings, channels=channels or settings.channels)
    return [cost(replace(settings, frames=length), joints or own) for length in frames or [settings.frames]]


def known() -> list[str]:
    """The names in conf/model; MixsteError where there are none."""
    names = sorted(path.stem for path in MODELS.glob("*.yaml"))
    if not names:
        raise MixsteError(
            f"there are no models in {MODELS}",
            found=f"the folder {Path.cwd()}",
            mend="run this in the project's folder, or name a YAML file or a model folder",
        )
    return names


def find(model: str) -> tuple[ModelSettings, int]:
    """Settings and joints of a model folder, a YAML file or a name in conf/model; 17 unless a folder says."""
    path = Path(model)
    if (path / CONFIG).exists():
        config = read_config(path)
        return config.model, config.joints
    if path.suffix not in (".yaml", ".yml"):
        path = MODELS / f"{model}.yaml"
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        names = ", ".join(known.stem for known in sorted(MODELS.glob("*.yaml"))) or "none here"
        raise MixsteError(
            f"there is no model {model}",
            found=f"{path}: {error.strerror if isinstance(error, OSError) else error}",
            expected=f"a name in {MODELS} ({names}), a YAML file or a model folder",
        ) from error
    return build(ModelSettings, tree, str(path)), JOINTS
