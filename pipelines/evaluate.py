"""Score the models on the test subjects and draw what came out. models/*, rig projections -> reports/evaluation.

Nothing is chosen here: the validation subjects chose each model's epoch before. Each model is scored twice: every frame
once, and as the code of its paper does (`mixste.scoring.protocols`). With names, as in `python -m pipelines.evaluate
scratch`, only those models are scored: a recipe without pre-training has no others.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mixste.errors import MixsteError
from mixste.files.hashing import data_hash
from mixste.machine.memory import memory_peak_gib
from mixste.models.checkpoint import WEIGHTS, ModelConfig, read_config
from mixste.sequences import Sequences, read_sequences
from pipelines import tracking
from pipelines.evaluation.report import write_report
from pipelines.evaluation.scoring import evaluate, foremost, test_hash
from pipelines.params import Params, load
from pipelines.places import EVALUATION, MODELS, RIG, tables
from pipelines.process import watching
from pipelines.process.stage import run


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
    scored = {name: folder for name, folder in models.items() if name not in left_out}
    with tracking.run("evaluate", params, data_hash=test_data, parent=foremost(scored), output=EVALUATION) as run:
        weights = {name: data_hash(folder / WEIGHTS) for name, folder in scored.items()}
        evaluated = {name: evaluate(folder, sequences, params) for name, folder in scored.items()}
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
