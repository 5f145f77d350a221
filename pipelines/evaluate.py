"""Score the models on the test subjects and draw what came out. models/*, rig projections -> reports/evaluation.

Nothing is chosen here: the validation subjects chose each model's epoch before.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mixste.errors import MixsteError
from mixste.inference import lift_sequences
from mixste.models.checkpoint import load_model
from mixste.scoring import METRICS, Scores, score
from mixste.sequences import Sequences, read_sequences
from mixste.skeleton import load_skeleton
from pipelines import tracking
from pipelines.evaluation_report import Evaluated, write_report
from pipelines.params import Params, load
from pipelines.places import EVALUATION, MODELS, RIG, tables
from pipelines.provenance import data_hash
from pipelines.stage import run


def predict(folder: Path, sequences: Sequences, params: Params) -> torch.Tensor:
    """Lift every test frame with a model folder's model: `n j 3` metres, root-relative."""
    model, _ = load_model(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    flip = torch.tensor(load_skeleton(sequences.skeleton).flip, device=device) if params.evaluate.flip else None
    settings = params.evaluate
    return lift_sequences(
        model.to(device), sequences.to(device), flip=flip, overlap=settings.overlap, batch_size=settings.batch_size
    ).cpu()


def summary(scores: Scores, apart: Sequence[str]) -> dict[str, Any]:
    """Mean over frames, over actions, by subject and by action, and by joint, without the trials scored apart.

    Raises MixsteError for a trial apart (`SUBJECT/TRIAL`) that is not among the test subjects'.
    """
    trials = scores.names.trials
    unknown = sorted(set(apart) - set(trials))
    if unknown:
        raise MixsteError(
            "no such test trials",
            found=", ".join(unknown),
            expected="SUBJECT/TRIAL of test subjects, as 02/02_01",
            mend="correct data.split.apart",
        )
    main = scores.only([number for number, trial in enumerate(trials) if trial not in apart])
    own = scores.by(trials)
    return {
        "action_mean": {**main.action_mean(), "frames": int(main.frames.sum())},
        "frame_mean": main.mean(),
        "subjects": main.by(main.names.subjects),
        "actions": main.by(main.names.actions),
        "apart": {trial: own[trial] for trial in apart},
        "per_joint": main.per_joint,
    }


def evaluate(name: str, sequences: Sequences, params: Params) -> Evaluated:
    """Lift the test sequences with one of the models and score what comes out."""
    predicted = predict(MODELS[name], sequences, params)
    scores = score(predicted, sequences)
    return Evaluated(MODELS[name], predicted, summary(scores, params.data.split.apart))


def test_hash(paths: Sequence[Path], params: Params) -> str:
    """Hash of what test scores can be compared by: the tables, how they are lifted and what is scored apart."""
    protocol = f"{data_hash(list(paths))} {params.evaluate.flip} {params.evaluate.overlap} {params.data.split.apart}"
    return hashlib.md5(protocol.encode(), usedforsecurity=False).hexdigest()


def main() -> None:
    """Run the stage."""
    params = load()
    paths = tables(RIG, params.data.split.test)
    sequences = read_sequences(paths, skeleton=params.data.skeleton, fps=params.data.fps)
    test_data = test_hash(paths, params)
    with tracking.run("evaluate", params, data_hash=test_data, parent="finetune") as run:
        evaluated = {name: evaluate(name, sequences, params) for name in MODELS}
        write_report(EVALUATION, evaluated, sequences, params, test_data)
        for name, result in evaluated.items():
            means = result.summary["action_mean"]
            run.log_metrics({f"{name}.{metric}": means[metric] for metric in METRICS})
        for path in sorted(EVALUATION.iterdir()):
            run.log_figure(path)


if __name__ == "__main__":
    run(main)
