"""Score the models on the test subjects and draw what came out. models/*, datasets/projections/rig -> reports/.

Nothing is chosen here: the validation subjects chose each model's epoch before.
"""

import csv
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mixste import drawing
from mixste.files import whole_file, whole_folder
from mixste.inference import lift_sequences
from mixste.models.checkpoint import load_model, read_config
from mixste.scoring import METRICS, Scores, score
from mixste.sequences import Sequences, read_sequences
from mixste.skeleton import load_skeleton
from pipelines import tracking
from pipelines.finetune import OUTPUTS, RIG
from pipelines.params import Params, load
from pipelines.pretrain import OUTPUT as PRETRAINED
from pipelines.provenance import data_hash
from pipelines.stage import run
from pipelines.training import tables

log = logging.getLogger(__name__)
REPORTS = Path("reports/evaluation")
MODELS = {"pretrained": PRETRAINED, "scratch": OUTPUTS["scratch"], "finetuned": OUTPUTS["pretrained"]}


def predict(folder: Path, sequences: Sequences, params: Params) -> torch.Tensor:
    """Lift every test frame with a model folder's model: `n j 3` metres, root-relative."""
    model, _ = load_model(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    flip = torch.tensor(load_skeleton(sequences.skeleton).flip, device=device) if params.evaluate.flip else None
    return lift_sequences(
        model.to(device),
        sequences.to(device),
        flip=flip,
        overlap=params.evaluate.overlap,
        batch_size=params.evaluate.batch_size,
    ).cpu()


def summary(scores: Scores, apart: Sequence[str]) -> dict[str, Any]:
    """Mean over frames, over actions, by subject and by action, without the trials that are scored apart."""
    trials = scores.names.trials
    main = scores.only([number for number, trial in enumerate(trials) if trial not in apart])
    own = scores.by(trials)
    return {
        "action_mean": main.action_mean(),
        "frame_mean": main.mean(),
        "subjects": main.by(main.names.subjects),
        "actions": main.by(main.names.actions),
        "apart": {trial: own[trial] for trial in apart if trial in own},
    }


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write dictionaries as CSV, numbers with three decimals."""
    with whole_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([{k: f"{v:.3f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows])


def grouped_rows(summaries: dict[str, dict[str, Any]], group: str, key: str) -> list[dict[str, Any]]:
    """One row for each model and member of a group (`subjects`, `actions`, `apart`)."""
    return [
        {"model": model, key: name, **values}
        for model, result in summaries.items()
        for name, values in result[group].items()
    ]


def _draw(
    folder: Path, scores: dict[str, Scores], sequences: Sequences, predicted: torch.Tensor, params: Params
) -> None:
    skeleton = load_skeleton(sequences.skeleton)
    note = "synthetic motion, simulated detections" if params.data.synthetic else "simulated detections"
    histories = {name: _history(MODELS[name]) for name in ("scratch", "finetuned")}
    drawing.learning_curves(histories, folder / "learning_curves.png", note=note)
    actions = {name: {a: v["mpjpe"] for a, v in own.by(sequences.actions).items()} for name, own in scores.items()}
    drawing.per_action(actions, folder / "per_action.png", note=note)
    joints = {name: dict(zip(skeleton.joints, own.per_joint.tolist(), strict=True)) for name, own in scores.items()}
    drawing.per_joint(joints, folder / "per_joint.png", note=note)
    middle = len(sequences) // 2
    low, high = int(sequences.offsets[middle]), int(sequences.offsets[middle + 1])
    high = min(high, low + round(params.evaluate.clip_seconds * sequences.fps))
    truth = sequences.joints[low:high] - sequences.joints[low:high, :1]
    drawing.clip_gif(
        sequences.keypoints[low:high, :, :2].numpy(),
        predicted[low:high].numpy(),
        truth.numpy(),
        skeleton,
        folder / "clip.gif",
        fps=sequences.fps,
        title=f"{sequences.clips[middle]}, {sequences.actions[middle]}",
        note=note,
    )


def _history(folder: Path) -> dict[str, list[float]]:
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {column: [float(row[column]) for row in rows] for column in rows[0]}


def main() -> None:
    """Run the stage."""
    params = load()
    split = params.data.split
    paths = tables(str(RIG), [split.test])
    sequences = read_sequences(paths, skeleton=params.data.skeleton, fps=params.data.fps)
    test_hash = data_hash(list(paths))
    with tracking.run("evaluate", params, data_hash=test_hash, parent="finetune") as run:
        scores, predicted = {}, torch.empty(0)
        for name, folder in MODELS.items():
            predicted = predict(folder, sequences, params)
            scores[name] = score(predicted, sequences)
        summaries = {name: summary(own, split.apart) for name, own in scores.items()}
        with whole_folder(REPORTS) as folder:
            _write(folder, summaries, scores, sequences.skeleton, test_hash)
            _draw(folder, scores, sequences, predicted, params)
        for name, result in summaries.items():
            run.log_metrics({f"{name}.{metric}": result["action_mean"][metric] for metric in METRICS})
        for path in sorted(REPORTS.iterdir()):
            run.log_figure(path)


def _write(
    folder: Path, summaries: dict[str, dict[str, Any]], scores: dict[str, Scores], skeleton: str, test_hash: str
) -> None:
    means = {
        name: {**result["action_mean"], "frames": int(scores[name].frames.sum())} for name, result in summaries.items()
    }
    gain = means["scratch"]["mpjpe"] - means["finetuned"]["mpjpe"]
    validation = {name: read_config(MODELS[name]).provenance["validation_mpjpe_mm"] for name in MODELS}
    metrics = {**means, "pretraining_gain_mpjpe": gain, "validation_mpjpe": validation, "test_data": test_hash}
    with whole_file(folder / "metrics.json") as partial:
        partial.write_text(json.dumps(metrics, indent=2) + "\n")
    for group, key in (("actions", "action"), ("subjects", "subject"), ("apart", "trial")):
        rows = grouped_rows(summaries, group, key)
        if rows:
            write_rows(folder / f"per_{key}.csv", rows)
    joints = load_skeleton(skeleton).joints
    rows = [
        {"model": m, "joint": j, "mpjpe": float(e)}
        for m, s in scores.items()
        for j, e in zip(joints, s.per_joint, strict=True)
    ]
    write_rows(folder / "per_joint.csv", rows)


if __name__ == "__main__":
    run(main)
