"""What a lifter begins with: the weights of another lifter, or those of masked pre-training that it has itself."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mixste.errors import MixsteError
from mixste.models import PoseModel, masked_class
from mixste.models.checkpoint import WEIGHTS, ModelConfig, load_weights, read_config, read_tensors

# What must be alike for weights to mean the same; drop rates and what is kept of a window need not.
ALIKE = ("architecture", "frames", "width", "depth", "heads", "mlp_ratio", "channels")


@dataclass(frozen=True)
class Transfer:
    """How many tensors of each part of the network were taken over, begin fresh, and were left behind."""

    kind: str
    taken: dict[str, int]
    fresh: dict[str, int]
    left_behind: dict[str, int]

    def __str__(self) -> str:
        """One line for a log."""
        groups = {"taken": self.taken, "fresh": self.fresh, "left behind": self.left_behind}
        named = {name: ", ".join(f"{part} ({n})" for part, n in own.items()) for name, own in groups.items()}
        return f"from a {self.kind}: " + "; ".join(f"{name}: {parts or 'nothing'}" for name, parts in named.items())


def transfer(model: PoseModel, folder: Path, *, skeleton: str, unit: str) -> Transfer:
    """Put a model folder's weights into a lifter of `skeleton` that lifts in `unit`, every one of them or none.

    A lifter gives all of its weights. A masked network gives all but its tokens, decoder and 2D head; the lifter's 3D
    head begins fresh, in any unit. Raises MixsteError for another architecture, size, skeleton or unit, and for any
    other set of keys.
    """
    config = read_config(folder)
    masked = config.kind == "masked"
    meaning = {"skeleton": skeleton} if masked else {"skeleton": skeleton, "unit": unit}
    _refuse_another(config, model, meaning, folder)
    leaving = masked_class(model.settings).left_behind if masked else ()
    fresh = model.head_prefixes if masked else ()
    weights = read_tensors(folder / WEIGHTS)
    taken = {name: value for name, value in weights.items() if not name.startswith(leaving)}
    load_weights(model, taken, folder / WEIGHTS, fresh=fresh)
    return Transfer(
        kind=f"{config.kind} network" if masked else config.kind,
        taken=_parts(taken),
        fresh=_parts(model.state_dict().keys() - taken.keys()),
        left_behind=_parts(weights.keys() - taken.keys()),
    )


def _refuse_another(config: ModelConfig, model: PoseModel, meaning: dict[str, str], folder: Path) -> None:
    own = {name: getattr(model.settings, name) for name in ALIKE} | meaning
    given = {name: getattr(config.model, name) for name in ALIKE} | {name: getattr(config, name) for name in meaning}
    differing = [name for name in own if own[name] != given[name]]
    if differing:
        raise MixsteError(
            f"cannot start from the model in {folder}",
            found=", ".join(f"{name} {given[name]}" for name in differing),
            expected=", ".join(f"{name} {own[name]}" for name in differing),
            mend="train it again with the settings of the model that starts from it",
        )


def _parts(names: Iterable[str]) -> dict[str, int]:
    """Tensors of each part: the first component of their names."""
    return dict(Counter(sorted(name.split(".")[0] for name in names)))
