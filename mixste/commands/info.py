"""`mixste info`: what a model is."""

import argparse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mixste.commands.terminal import command, say
from mixste.errors import shown
from mixste.registry import find, is_registered
from mixste.zoo import any_model

if TYPE_CHECKING:
    from mixste.models.checkpoint import ModelConfig

ERRORS = {  # tags of a registered version, in the order that they are shown
    "test_mpjpe_mm": "MPJPE",
    "test_p_mpjpe_mm": "P-MPJPE",
    "test_n_mpjpe_mm": "N-MPJPE",
    "test_mpjve_mm": "MPJVE",
}
MILLIMETRES = {"validation_mpjpe_mm": "validation MPJPE"}
DATA = ("stage", "network", "file", "data", "synthetic", "detections", "epoch")


def add(commands: Any) -> None:
    """Describe the subcommand."""
    parser = command(
        commands,
        "info",
        "say what a model is: input, output, size, where it comes from, licence, errors",
        "",
        "mixste info models/finetuned",
        "mixste info models:/mixste@champion",
        "mixste info best_epoch.bin",
    )
    parser.add_argument("model", metavar="MODEL", help=any_model())
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print a line a fact."""
    from mixste.lifting.source import model_folder
    from mixste.models.checkpoint import read_config

    facts: list[tuple[str, str]] = [("model", options.model)]
    if is_registered(options.model):
        found = find(options.model)
        aliases = "".join(f", {alias}" for alias in found.aliases)
        facts += [
            ("registered", f"{found.name}, version {found.version}{aliases}, in {shown(found.store)}"),
            *_scored(found.tags),
        ]
    with model_folder(options.model) as folder:
        facts += _described(read_config(folder))
    width = max(len(name) for name, _ in facts)
    say(*(f"{name:<{width}}  {text}" for name, text in facts))


def _described(config: "ModelConfig") -> Iterator[tuple[str, str]]:
    from mixste.costs import cost

    model = config.model
    kept = {"sequence": "every frame of a window", "centre": "the centre frame of a window"}[model.output]
    channels = "x, y, confidence" if model.channels == 3 else "x, y"
    yield "takes", f"{config.skeleton} ({config.joints} joints): {channels} at {config.fps:g} fps; {config.screen}"
    if config.kind == "lifter":
        yield "gives", f"{kept}, {config.unit}; {config.frame}"
    else:
        yield "gives", "hidden 2D keypoints: it is for fine-tuning and does not lift"
    step = "" if model.step == 1 else f", {model.step} apart"
    shape = f"{model.frames} frames a window{step}, width {model.width}, depth {model.depth}, heads {model.heads}"
    yield "network", f"{model.architecture}: {shape}; {cost(model, config.joints).parameters:,} parameters"
    yield from _origin(config.provenance)


def _origin(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield where weights come from, and before them those that they began with."""
    yield "licence", str(provenance.get("licence") or "not said")
    name, stage = "made by", provenance
    while stage:
        told = [f"{key} {stage[key]}" for key in DATA if stage.get(key) is not None]
        told += [f"{text} {stage[key]:.1f} mm" for key, text in MILLIMETRES.items() if stage.get(key) is not None]
        yield name, ", ".join(told) or "not said"
        name, stage = "begun with", stage.get("parent") or {}


def _scored(tags: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    errors = [f"{text} {float(tags[key]):.1f} mm" for key, text in ERRORS.items() if key in tags]
    if errors:
        yield "test error", ", ".join(errors)
    if "verdict" in tags:
        yield "verdict", tags["verdict"]
