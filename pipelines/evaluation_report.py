"""What `evaluate` leaves behind: metrics.json, tables by action, subject, trial and joint, figures, a clip."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mixste import drawing
from mixste.files import whole_file, whole_folder
from mixste.models.checkpoint import read_config
from mixste.sequences import Sequences
from mixste.skeleton import load_skeleton
from pipelines.params import Params

TUNED = ("scratch", "finetuned")


@dataclass(frozen=True)
class Evaluated:
    """A model folder with its predictions `n j 3` (metres) and its means, mm."""

    folder: Path
    predicted: Tensor
    summary: dict[str, Any]


def write_report(
    folder: Path, models: Mapping[str, Evaluated], sequences: Sequences, params: Params, test_data: str
) -> None:
    """Write everything into `folder`, whole or not at all; `test_data` is the hash of the test tables."""
    with whole_folder(folder) as partial:
        _metrics(
            partial / "metrics.json", models, {**sequences.origin, "data": params.data.name, "test_data": test_data}
        )
        for group, key in (("actions", "action"), ("subjects", "subject"), ("apart", "trial")):
            rows = [
                {"model": name, key: member, **values}
                for name, result in models.items()
                for member, values in result.summary[group].items()
            ]
            write_rows(partial / f"per_{key}.csv", rows)
        _figures(partial, models, sequences)
        _clip(partial / "clip.gif", models["finetuned"].predicted, sequences, params.evaluate.clip_seconds)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, numbers with three decimals; no file for no rows."""
    if not rows:
        return
    with whole_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([{k: f"{v:.3f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows])


def note(sequences: Sequences) -> str:
    """What a figure must say of its data."""
    return f"{'synthetic motion, ' if sequences.synthetic else ''}{sequences.detections} detections"


def _metrics(path: Path, models: Mapping[str, Evaluated], origin: Mapping[str, Any]) -> None:
    means = {name: result.summary["action_mean"] for name, result in models.items()}
    validation = {name: read_config(result.folder).provenance["validation_mpjpe_mm"] for name, result in models.items()}
    gain = means["scratch"]["mpjpe"] - means["finetuned"]["mpjpe"]
    metrics = {**means, "pretraining_gain_mpjpe": gain, "validation_mpjpe": validation, **origin}
    path.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def _figures(folder: Path, models: Mapping[str, Evaluated], sequences: Sequences) -> None:
    histories = {name: _history(models[name].folder) for name in TUNED}
    drawing.learning_curves(histories, folder / "learning_curves.png", note=note(sequences))
    actions = {
        name: {action: values["mpjpe"] for action, values in result.summary["actions"].items()}
        for name, result in models.items()
    }
    drawing.per_action(actions, folder / "per_action.png", note=note(sequences))
    joints = load_skeleton(sequences.skeleton).joints
    errors = {
        name: dict(zip(joints, result.summary["per_joint"].tolist(), strict=True)) for name, result in models.items()
    }
    write_rows(folder / "per_joint.csv", [{"model": name, **own} for name, own in errors.items()])
    drawing.per_joint(errors, folder / "per_joint.png", note=note(sequences))


def _history(folder: Path) -> dict[str, list[float]]:
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {column: [float(row[column]) for row in rows] for column in rows[0]}


def _clip(path: Path, predicted: Tensor, sequences: Sequences, seconds: float) -> None:
    """Render the start of the sequence in the middle of the test set: neither the best nor the worst by choice."""
    middle = len(sequences) // 2
    low, high = sequences.offsets[middle : middle + 2].tolist()
    shown = slice(low, min(high, low + round(seconds * sequences.fps)))
    drawing.clip_gif(
        sequences.keypoints[shown, :, :2].numpy(),
        predicted[shown].numpy(),
        (sequences.joints[shown] - sequences.joints[shown, :1]).numpy(),
        load_skeleton(sequences.skeleton),
        path,
        fps=sequences.fps,
        title=f"{sequences.clips[middle]}, {sequences.actions[middle]}",
        note=note(sequences),
    )
