"""What a sweep leaves behind: every trial with its cost and error, the Pareto figure, importance, the best setting."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixste import drawing
from mixste.costs import cost
from mixste.files.whole import whole_folder
from mixste.skeleton import load_skeleton
from mixste.training.jobs import TrainingJob
from pipelines.params import Params
from pipelines.provenance import data_in_words
from pipelines.sweeping import page as text
from pipelines.sweeping.importance import Importance, importance
from pipelines.sweeping.space import Space
from pipelines.sweeping.trial import seconds
from pipelines.sweeping.trials import DONE, LIVE, TRAINED, Trial, Trials

Row = dict[str, Any]
COSTS = {"parameters": "parameters", "all_macs": "multiply-adds of a window"}


@dataclass(frozen=True)
class Results:
    """Everything the report is made of; `job` is a trial's training, for what its data are."""

    params: Params
    space: Space
    trials: Trials
    job: TrainingJob

    @property
    def unit(self) -> str:
        """Of validation errors."""
        return self.job.metric.unit

    @property
    def note(self) -> str:
        """What the numbers rest on."""
        data = self.params.data
        return data_in_words(data.name, data.synthetic, self.job.about.detections)

    def rows(self) -> list[Row]:
        """Trials in their order: values, costs, what came of them, and whether nothing is as cheap and as good."""
        rows = [self._row(trial) for trial in self.trials.all if trial.status != LIVE]
        scored = [row for row in rows if row["validation_mpjpe"] is not None]
        for key in COSTS:
            best = front([(row[key], row["validation_mpjpe"]) for row in scored])
            on = {row["trial"] for row, is_best in zip(scored, best, strict=True) if is_best}
            for row in rows:
                row[f"on_{key}"] = row["trial"] in on
        return rows

    def importances(self) -> tuple[int, list[Importance]]:
        """The last epoch that every trial with a result reached, and each key's importance there, largest first."""
        done = self.trials.done
        histories = [self.trials.state(trial.number).history for trial in done]
        epoch = min(map(len, histories))
        errors = [history[epoch - 1][self.job.metric.column] for history in histories]
        found = [importance(swept, [trial.values[swept.key] for trial in done], errors) for swept in self.space.keys]
        return epoch, sorted(found, key=lambda one: -one.share)

    def _row(self, trial: Trial) -> Row:
        state = self.trials.state(trial.number)
        joints = len(load_skeleton(self.params.data.skeleton).joints)
        size = cost(self.space.params(trial.values).model, joints)
        return {
            "trial": trial.number,
            **trial.values,
            "parameters": size.parameters,
            "linear_macs": size.linear_macs,
            "all_macs": size.all_macs,
            "validation_mpjpe": state.kept_score if trial.status in DONE else None,
            "kept_epoch": state.kept_epoch,
            "epochs": state.epoch,
            "seconds": round(seconds(self.trials.place(trial.number)), 2),
            "early": trial.status != TRAINED,
            "status": f"{trial.status}: {trial.why}" if trial.why else trial.status,
        }


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Of points (cost, error): whether no other is at most as large in both and smaller in one."""
    return [not any(c <= cost and e <= error and (c, e) != (cost, error) for c, e in points) for cost, error in points]


def write_report(folder: Path, results: Results) -> str:
    """Write sweep.csv, sweep.md, pareto.png and best_model.yaml into `folder`, whole or not at all.

    Returns what the sweep came to, in words.
    """
    rows, unit = results.rows(), results.unit
    scored = [row for row in rows if row["validation_mpjpe"] is not None]
    failed = [row for row in rows if row["validation_mpjpe"] is None]
    ranked = [*sorted(scored, key=lambda row: row["validation_mpjpe"]), *failed]
    best = results.space.params(results.trials.all[ranked[0]["trial"]].values)
    with whole_folder(folder) as partial:
        with (partial / "sweep.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        page = text.page(best, ranked, results.importances(), note=results.note, unit=unit)
        (partial / "sweep.md").write_text(page, encoding="utf-8")
        (partial / text.FILE).write_text(text.model_file(best, ranked[0], unit=unit), encoding="utf-8")
        drawing.pareto(scored, partial / "pareto.png", costs=COSTS, unit=unit, note=results.note)
    return text.told(best, ranked, unit=unit)
