"""Models on the test subjects: every test frame lifted, scored twice, and what that took; and the test data's hash.

A model is scored with every frame once, and as the code of its paper does (`mixste.scoring.protocols`).
"""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from mixste.errors import MixsteError
from mixste.inference import fitting_batch, lift_windows
from mixste.machine.hardware import enough_memory, threads_worth
from mixste.models import PoseModel, count_parameters
from mixste.models.checkpoint import ModelConfig, load_model
from mixste.scoring.protocols import (
    PROTOCOLS,
    RULES,
    AsPublished,
    as_published,
    in_chunks,
    motionberts_clips,
    scoring_as_published,
    summary,
)
from mixste.scoring.scores import Scores, score
from mixste.sequences import Sequences
from mixste.skeleton import load_skeleton
from mixste.windows import stitch
from pipelines.params import Params
from pipelines.process import watching
from pipelines.process.progress import progress
from pipelines.process.watching import Watch

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluated:
    """A model folder with its predictions `n j 3`, its means by both scorings, mm, and what a window costs it.

    `as_published` is None where the code of its paper scores no such model. `watch` is what lifting took.
    """

    folder: Path
    config: ModelConfig
    predicted: Tensor
    summary: dict[str, Any]
    as_published: dict[str, Any] | None
    parameters: int
    linear_macs: int
    all_macs: int
    watch: Watch


def evaluate(folder: Path, sequences: Sequences, params: Params) -> Evaluated:
    """Lift the test sequences with a model folder's model, score what comes out, and count what it costs.

    Raises MixsteError for a model of other keypoints or joints than the test data's.
    """
    model, config = load_model(folder)
    refuse_misfit(folder, config, sequences)
    protocol, apart = PROTOCOLS[params.data.protocol], params.data.split.apart
    device = device_of(params)
    predicted, windows, watch = _lift(model, sequences, params, params.evaluate.overlap, str(folder), device)
    published = scores_as_published(model, sequences, params, windows, device)
    frames = config.model.frames
    return Evaluated(
        folder=folder,
        config=config,
        predicted=predicted,
        summary=summary(score(predicted, sequences, protocol.scoring), protocol, apart),
        as_published=summary(published, protocol, _scored(apart, published)) if published else None,
        parameters=count_parameters(model),
        linear_macs=model.linear_macs(frames),
        all_macs=model.all_macs(frames),
        watch=watch,
    )


def predict(folder: Path, sequences: Sequences, params: Params) -> Tensor:
    """Lift every test frame with a model folder's model, on the CPU: `n j 3`, the sequences' unit, root-relative."""
    cpu = torch.device("cpu")
    return _lift(load_model(folder)[0], sequences, params, params.evaluate.overlap, str(folder), cpu)[0]


def foremost(models: Mapping[str, T]) -> T:
    """The fine-tuned one of models by their names, or else the first: the one that is shown, and built on."""
    return models.get("finetuned") or next(iter(models.values()))


def scores_as_published(
    model: PoseModel, sequences: Sequences, params: Params, windows: Tensor, device: torch.device
) -> Scores | None:
    """Scores by the code of the architecture's paper; None if not asked for, or of windows that code does not know.

    Where that code asks for what the model gave already, `windows` one after the other, it is not asked again.
    """
    published, settings = code_of(model.settings.architecture, params), model.settings
    if not params.evaluate.as_published or (published.chunks and settings.step > 1):
        return None
    scoring, labelled = scoring_as_published(PROTOCOLS[params.data.protocol], published), params.data.labelled
    clips = motionberts_clips(sequences) if labelled and labelled.format == "motionbert" else sequences
    output = "sequence" if published.chunks else "centre"
    scored = in_chunks(clips, settings.frames) if published.chunks else clips
    if clips is sequences and settings.output == output and not (published.chunks and params.evaluate.overlap):
        return score(windows, scored, scoring)
    twin = copy.copy(model)
    twin.settings = replace(settings, output=output)
    return score(_lift(twin, scored, params, 0, "the same, as published", device)[0], scored, scoring)


def code_of(architecture: str, params: Params) -> AsPublished:
    """What the code of an architecture's paper scores of the data that were chosen."""
    labelled = params.data.labelled
    return as_published(architecture, PROTOCOLS[params.data.protocol], labelled.format if labelled else "")


def _scored(trials: Sequence[str], scores: Scores) -> tuple[str, ...]:
    """Those of the trials that a paper's code scores at all."""
    return tuple(trial for trial in trials if trial in scores.names.trials)


def refuse_misfit(folder: Path, config: ModelConfig, sequences: Sequences) -> None:
    """Raise MixsteError unless the model takes and gives what the test data hold."""
    pairs = {name: (getattr(config, name), getattr(sequences, name)) for name in ("skeleton", "fps")}
    wrong = [f"{name} {own}, not {test}" for name, (own, test) in pairs.items() if own != test]
    channels = sequences.keypoints.shape[-1]
    if config.model.channels > channels:
        wrong.append(f"{config.model.channels} channels, not {channels}")
    if wrong:
        raise MixsteError(
            f"the model in {folder} does not fit the test data",
            found="; ".join(wrong),
            expected="a model of the same skeleton and frame rate, of as many channels at most",
            mend="take it out of evaluate.models, or evaluate on its own data",
        )


def test_hash(sequences: Sequences, params: Params) -> str:
    """Hash of what test scores can be compared by: the test data, how they are lifted and scored, what is apart.

    It is of the values that are scored, and not of files: what writes those adds its version.
    """
    digest = hashlib.md5(usedforsecurity=False)
    for own in fields(sequences):
        value = getattr(sequences, own.name)
        tensor = isinstance(value, Tensor)
        digest.update(memoryview(value.numpy().reshape(-1)).cast("B") if tensor else repr(value).encode())
    data, settings = params.data, params.evaluate
    digest.update(f"{settings.flip} {settings.overlap} {data.split.apart} {data.protocol} {RULES}".encode())
    return digest.hexdigest()


def device_of(params: Params) -> torch.device:
    """Return the device that models are scored on: a GPU where training has one, too."""
    return torch.device("cuda" if params.cluster.gpus_per_worker and torch.cuda.is_available() else "cpu")


def _lift(
    model: PoseModel, sequences: Sequences, params: Params, overlap: int, title: str, device: torch.device
) -> tuple[Tensor, Tensor, Watch]:
    """Every frame once, the windows one after the other, both on the CPU, and what that took; a batch is a step."""
    flip = torch.tensor(load_skeleton(sequences.skeleton).flip, device=device) if params.evaluate.flip else None
    model, sequences = model.to(device), sequences.to(device)
    batch_size = params.evaluate.batch_size or fitting_batch(model, device)
    macs = model.linear_macs(model.settings.frames) * batch_size
    enough = enough_memory(
        f"batches of {batch_size} windows", f"evaluate.batch_size={max(1, batch_size // 2)} changes no score"
    )
    with watching.watch() as watch, progress(f"evaluate {title}") as tell, threads_worth(macs), enough:

        def told(done: int, total: int) -> None:
            watch.steps, watch.windows = ceil(done / batch_size), done
            tell(done, total)

        parts = list(lift_windows(model, sequences, flip=flip, overlap=overlap, batch_size=batch_size, tell=told))
        watch.frames = sequences.frames
    windows = torch.cat([windows.flatten(0, 1) for windows, _ in parts])
    return stitch(parts, sequences.frames).cpu(), windows.cpu(), watch
