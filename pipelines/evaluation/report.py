"""What `evaluate` leaves behind: metrics.json, the table, scorings by action and subject and more, figures, a clip."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mixste import drawing
from mixste.files.whole import whole_file, whole_folder
from mixste.motion import Motion
from mixste.scoring.protocols import PROTOCOLS, Protocol
from mixste.sequences import Sequences
from mixste.skeleton import load_skeleton
from mixste.viewer import write_html
from pipelines.evaluation.comparison import lines, page
from pipelines.evaluation.scoring import Evaluated, code_of, foremost
from pipelines.params import Params

TUNED = ("scratch", "finetuned")


def write_report(
    folder: Path, models: Mapping[str, Evaluated], sequences: Sequences, params: Params, about: Mapping[str, Any]
) -> None:
    """Write everything into `folder`, whole or not at all; `about` is what metrics.json must say beside the scores."""
    protocol = PROTOCOLS[params.data.protocol]
    groups = {"actions": "action", "subjects": "subject", "apart": "trial", "groups": protocol.key}
    with whole_folder(folder) as partial:
        origin = {**sequences.origin, "data": params.data.name, "protocol": params.data.protocol}
        _metrics(partial / "metrics.json", models, {**origin, **about})
        for group, key in groups.items():
            rows = [
                {"model": name, key: member, **values}
                for name, result in models.items()
                for member, values in result.summary[group].items()
            ]
            write_rows(partial / f"per_{key}.csv", rows)
        write_rows(partial / "per_clip.csv", [*_clips(models)])
        write_rows(partial / "scorings.csv", [*_scorings(models, params)])
        table, title = lines(models, sequences, params), f"Test results of {params.data.name}, {note(sequences)}"
        write_rows(partial / "table.csv", table)
        (partial / "table.md").write_text(page(table, title, protocol.headline), encoding="utf-8")
        _figures(partial, models, sequences)
        _clip(partial, foremost(models).predicted, sequences, params.evaluate.clip_seconds)


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


def _metrics(path: Path, models: Mapping[str, Evaluated], about: Mapping[str, Any]) -> None:
    scores = {name: _scores(result, PROTOCOLS[about["protocol"]]) for name, result in models.items()}
    provenance = {name: result.config.provenance for name, result in models.items()}
    validation = {name: own["validation_mpjpe_mm"] for name, own in provenance.items() if "validation_mpjpe_mm" in own}
    trained = [scores[name]["mpjpe"] for name in TUNED if name in scores]
    gain = {"pretraining_gain_mpjpe": trained[0] - trained[1]} if len(trained) == len(TUNED) else {}
    metrics = {**scores, **gain, "validation_mpjpe": validation, **about}
    path.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def _scores(result: Evaluated, protocol: Protocol) -> dict[str, Any]:
    """The protocol's mean; beside it the unweighted one, if it weighs, and what the paper's own code would give."""
    unweighted = {"unweighted": result.summary["group_mean"]} if protocol.weighted else {}
    published = {"as_published": result.as_published["mean"]} if result.as_published else {}
    return {**result.summary["mean"], **unweighted, **published}


def _scorings(models: Mapping[str, Evaluated], params: Params) -> Iterator[dict[str, Any]]:
    """Both scorings of every model, one below the other: the mean of all groups, then each group."""
    for name, result in models.items():
        text = code_of(result.config.model.architecture, params).text
        for scoring, own in (("every frame once", result.summary), (f"as published: {text}", result.as_published)):
            means = {"mean": own["mean"], **own["groups"]} if own else {}
            yield from ({"model": name, "scoring": scoring, "group": group, **row} for group, row in means.items())


def _clips(models: Mapping[str, Evaluated]) -> Iterator[dict[str, Any]]:
    """Every model's errors by clip, which two models are compared by, with all digits that a weight needs."""
    for name, result in models.items():
        yield from ({"model": name, **row, "weight": f"{row['weight']:.9f}"} for row in result.summary["clips"])


def _figures(folder: Path, models: Mapping[str, Evaluated], sequences: Sequences) -> None:
    histories = {name: _history(models[name].folder) for name in TUNED if name in models}
    if histories:
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


def middle_one(sequences: Sequences, frames: int) -> int:
    """The number of the one in the middle of the sequences that have so many frames, or of the longest."""
    lengths = sequences.offsets.diff()
    enough = (lengths >= min(frames, int(lengths.max()))).nonzero().flatten()
    return int(enough[len(enough) // 2])


def _clip(folder: Path, predicted: Tensor, sequences: Sequences, seconds: float) -> None:
    """Show the start of a sequence from the middle of the test set: neither the best nor the worst by choice."""
    wanted = round(seconds * sequences.fps)
    middle = middle_one(sequences, wanted)
    low, high = sequences.offsets[middle : middle + 2].tolist()
    shown = slice(low, min(high, low + wanted))
    keypoints, joints = sequences.keypoints[shown].numpy(), predicted[shown].numpy()
    truth = (sequences.joints[shown] - sequences.joints[shown, sequences.root, None]).numpy()
    title = f"{sequences.clips[middle]}, {sequences.actions[middle]}"
    drawing.clip_gif(
        keypoints[..., :2],
        joints,
        truth,
        load_skeleton(sequences.skeleton),
        folder / "clip.gif",
        fps=sequences.fps,
        title=title,
        note=note(sequences),
    )
    motion = Motion(joints, sequences.skeleton, sequences.fps, unit=sequences.unit)
    heading = f"{title} ({note(sequences)})"
    write_html(folder / "clip.html", motion, keypoints=keypoints, truth=truth, title=heading)
