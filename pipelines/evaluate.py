"""Score the models on the test subjects and draw what came out. models/*, rig projections -> reports/evaluation.

Nothing is chosen here: the validation subjects chose each model's epoch before. Each model is scored twice: every frame
once, and as the code of its paper does (`mixste.protocols`). With names, as in `python -m pipelines.evaluate scratch`,
only those models are scored: a recipe without pre-training has no others.
"""

import argparse
import copy
import hashlib
from collections.abc import Sequence
from dataclasses import fields, replace
from math import ceil
from pathlib import Path

import torch
from torch import Tensor

from mixste.errors import MixsteError
from mixste.hardware import enough_memory, threads_worth
from mixste.inference import lift_windows
from mixste.memory import memory_peak_gib
from mixste.models import PoseModel, count_parameters
from mixste.models.checkpoint import WEIGHTS, ModelConfig, load_model, read_config
from mixste.protocols import (
    AS_PUBLISHED,
    PROTOCOLS,
    RULES,
    in_chunks,
    motionberts_clips,
    scoring_as_published,
    summary,
)
from mixste.scoring import Scores, score
from mixste.sequences import Sequences, read_sequences
from mixste.skeleton import load_skeleton
from mixste.windows import stitch
from pipelines import tracking, watching
from pipelines.evaluation.evaluated import Evaluated
from pipelines.evaluation.report import write_report
from pipelines.params import Params, load
from pipelines.places import EVALUATION, MODELS, RIG, tables
from pipelines.progress import progress
from pipelines.provenance import data_hash
from pipelines.stage import run
from pipelines.watching import Watch


def predict(folder: Path, sequences: Sequences, params: Params) -> Tensor:
    """Lift every test frame with a model folder's model, on the CPU: `n j 3`, the sequences' unit, root-relative."""
    params = replace(params, cluster=replace(params.cluster, gpus_per_worker=0))
    return _lift(load_model(folder)[0], sequences, params, params.evaluate.overlap, str(folder))[0]


def evaluate(folder: Path, sequences: Sequences, params: Params) -> Evaluated:
    """Lift the test sequences with a model folder's model, score what comes out, and count what it costs.

    Raises MixsteError for a model of other keypoints or joints than the test data's.
    """
    model, config = load_model(folder)
    refuse_misfit(folder, config, sequences)
    protocol, apart = PROTOCOLS[params.data.protocol], params.data.split.apart
    predicted, windows, watch = _lift(model, sequences, params, params.evaluate.overlap, str(folder))
    published = scores_as_published(model, sequences, params, windows)
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


def _scored(trials: Sequence[str], scores: Scores) -> tuple[str, ...]:
    """Those of the trials that a paper's code scores at all."""
    return tuple(trial for trial in trials if trial in scores.names.trials)


def scores_as_published(model: PoseModel, sequences: Sequences, params: Params, windows: Tensor) -> Scores | None:
    """Scores by the code of the architecture's paper; None if not asked for, or of windows that code does not know.

    Where that code asks for what the model gave already, `windows` one after the other, it is not asked again.
    """
    published, settings = AS_PUBLISHED[model.settings.architecture], model.settings
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
    return score(_lift(twin, scored, params, 0, "the same, as published")[0], scored, scoring)


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


def why_not_scored(config: ModelConfig, sequences: Sequences) -> str:
    """Why there is nothing to score: the model does not lift, or not in the test data's unit; empty if there is."""
    if config.kind != "lifter":
        return f"a {config.kind} network lifts nothing"
    return "" if config.unit == sequences.unit else f"it lifts in {config.unit}, the test data are in {sequences.unit}"


def folders(params: Params) -> dict[str, Path]:
    """Every model to score by its name: the pipeline's own, then those that conf adds."""
    return {**MODELS, **{extra.name: Path(extra.folder) for extra in params.evaluate.models}}


def chosen(names: Sequence[str], params: Params) -> dict[str, Path]:
    """The models of these names, all of them if none is given; MixsteError for a name that is not among them."""
    known = folders(params)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise MixsteError("no such model", found=", ".join(unknown), expected=f"names from {', '.join(known)}")
    return {name: folder for name, folder in known.items() if name in names or not names}


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
    model: PoseModel, sequences: Sequences, params: Params, overlap: int, title: str
) -> tuple[Tensor, Tensor, Watch]:
    """Every frame once, the windows one after the other, both on the CPU, and what that took; a batch is a step."""
    device = device_of(params)
    flip = torch.tensor(load_skeleton(sequences.skeleton).flip, device=device) if params.evaluate.flip else None
    model, sequences, batch_size = model.to(device), sequences.to(device), params.evaluate.batch_size
    macs = model.linear_macs(model.settings.frames) * batch_size
    enough = enough_memory(f"batches of {batch_size} windows", "lower evaluate.batch_size, which changes no score")
    with watching.watch() as watch, progress(f"evaluate {title}") as tell, threads_worth(macs), enough:

        def told(done: int, total: int) -> None:
            watch.steps, watch.windows = ceil(done / batch_size), done
            tell(done, total)

        parts = list(lift_windows(model, sequences, flip=flip, overlap=overlap, batch_size=batch_size, tell=told))
        watch.frames = sequences.frames
    windows = torch.cat([windows.flatten(0, 1) for windows, _ in parts])
    return stitch(parts, sequences.frames).cpu(), windows.cpu(), watch


def main() -> None:
    """Run the stage; a model that has nothing to score, as a network of masked pre-training, is named as left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "models", nargs="*", help="scratch, finetuned, pretrained, or names in evaluate.models; none: all"
    )
    names = parser.parse_args().models
    params = load()
    models = chosen(names, params)
    paths = tables(RIG, params.data.split.test)
    with watching.watch() as reading:
        reading.steps = 0
        sequences = reading.reading(read_sequences)(paths, skeleton=params.data.skeleton, fps=params.data.fps)
    test_data = test_hash(sequences, params)
    reasons = {name: why_not_scored(read_config(folder), sequences) for name, folder in models.items()}
    left_out = {name: why for name, why in reasons.items() if why}
    if len(left_out) == len(models):
        raise MixsteError("there is nothing to score", found="; ".join(f"{n}: {why}" for n, why in left_out.items()))
    scored = models.get("finetuned") or next(iter(models.values()))
    with tracking.run("evaluate", params, data_hash=test_data, parent=scored, output=EVALUATION) as run:
        weights = {name: data_hash(models[name] / WEIGHTS) for name in models if name not in left_out}
        evaluated = {name: evaluate(models[name], sequences, params) for name in weights}
        about = {"test_data": test_data, "weights_hash": weights, "left_out": left_out}
        write_report(EVALUATION, evaluated, sequences, params, about)
        for name, result in evaluated.items():
            means = result.summary["mean"]
            run.log_metrics({f"{name}.{metric}": value for metric, value in means.items() if metric != "frames"})
        watches = [reading, *(result.watch for result in evaluated.values())]
        taken = watching.figures(watches, sum(watch.seconds for watch in watches))
        taken["memory_peak_gib"] = memory_peak_gib()
        run.log_metrics(taken)
        for path in sorted(EVALUATION.iterdir()):
            run.log_figure(path)
    watching.tell("evaluate", "batch", taken)


if __name__ == "__main__":
    run(main)
