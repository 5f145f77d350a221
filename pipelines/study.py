"""Label efficiency: what pre-training is worth, by how much motion is labelled. On demand, not part of `dvc repro`.

Three arms for every set of labels and seed: scratch with the fine-tuning budget, scratch with the budget of
pre-training and fine-tuning together, and pre-trained. Each arm takes the better of the study's learning rates, by
validation MPJPE with the first seed. Trainings run side by side, one CPU each; a study that is started again goes on.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mixste import drawing
from mixste.errors import MixsteError
from mixste.files import whole_file, whole_folder
from mixste.jobs import TrainingJob
from mixste.scoring import score
from mixste.sequences import read_sequences
from mixste.training_state import FILE, read_state, restore_training, save_training
from pipelines import tracking
from pipelines.cluster import fan_out
from pipelines.evaluate import predict, summary, write_rows
from pipelines.finetune import RIG, finetuning_job
from pipelines.params import Params, load
from pipelines.pretrain import pretraining_job
from pipelines.provenance import git_state
from pipelines.settings import LabelSettings
from pipelines.stage import run
from pipelines.training import tables, write_model

log = logging.getLogger(__name__)
OUTPUT = Path("reports/study")
ARMS = ("scratch", "scratch, longer", "pre-trained")


@dataclass(frozen=True)
class Trial:
    """One training of the study: what it is, where it lives, what it trains."""

    labels: str
    arm: str
    seed: int
    lr: float
    folder: Path
    job: TrainingJob


def train_trial(trial: Trial) -> float:
    """Train, or go on, in one process on one thread; return the best validation MPJPE in mm."""
    torch.set_num_threads(1)
    if not (trial.folder / "model").exists():
        trainer = trial.job.trainer(device=torch.device("cpu"))
        if (trial.folder / FILE).exists():
            restore_training(trial.folder, trainer)
        for _ in trainer.epochs():
            save_training(trial.folder, trainer)
        write_model(trial.folder / "model", trial.folder, trial.job, {"stage": "study"})
    return read_state(trial.folder).best_mpjpe


def score_trial(work: tuple[Trial, Params]) -> dict[str, Any]:
    """Score a finished trial on the test subjects."""
    trial, params = work
    torch.set_num_threads(1)
    paths = tables(str(RIG), [params.data.split.test])
    sequences = read_sequences(paths, skeleton=params.data.skeleton, fps=params.data.fps)
    return summary(score(predict(trial.folder / "model", sequences, params), sequences), params.data.split.apart)


class Study:
    """The trials of `params.study`: built from the same jobs as the stages."""

    def __init__(self, params: Params) -> None:
        self.params = params
        if params.study is None:
            raise MixsteError(
                f"no study of the data {params.data.name}",
                expected=f"conf/study/{params.data.name}.yaml",
                mend="copy conf/study/sample.yaml there, name your subjects and run `make params` again",
            )
        self.study = params.study
        self.folder = Path(params.cluster.storage).absolute() / "study"

    def run(self) -> list[dict[str, Any]]:
        """Train and score everything; one row for each set of labels, arm and seed."""
        first, *others = self.study.seeds
        pretrained = {
            seed: self._trial("-", "pre-training", seed, self.params.pretrain.optimiser.lr) for seed in self.study.seeds
        }
        scratch = [trial for trial in self._arms(first, self.study.learning_rates) if trial.arm != ARMS[2]]
        fan_out(train_trial, [*pretrained.values(), *_longest_first(scratch)], "study: pre-training and scratch")
        tuned = [trial for trial in self._arms(first, self.study.learning_rates) if trial.arm == ARMS[2]]
        fan_out(train_trial, tuned, "study: fine-tuning")
        chosen = {key: min(own, key=_validation) for key, own in _grouped([*scratch, *tuned]).items()}
        rest = [
            trial
            for seed in others
            for trial in self._arms(seed, self.study.learning_rates)
            if trial.lr == chosen[trial.labels, trial.arm].lr
        ]
        fan_out(train_trial, _longest_first(rest), f"study: seeds {others}")
        trials = [*chosen.values(), *rest, *pretrained.values()]
        results = fan_out(score_trial, [(trial, self.params) for trial in trials], "study: scoring")
        return [_row(trial, result) for trial, result in zip(trials, results, strict=True)]

    def _arms(self, seed: int, rates: Sequence[float]) -> list[Trial]:
        return [self._trial(labels.name, arm, seed, lr) for labels in self.study.labels for arm in ARMS for lr in rates]

    def _trial(self, labels: str, arm: str, seed: int, lr: float) -> Trial:
        params = replace(self.params, seed=seed)
        job = pretraining_job(params) if arm == "pre-training" else self._finetuning(params, labels, arm, lr)
        job = replace(job, precision=params.cluster.precision)
        return Trial(labels, arm, seed, lr, self.folder / job.fingerprint(), job)

    def _finetuning(self, params: Params, labels: str, arm: str, lr: float) -> TrainingJob:
        chosen = next(group for group in self.study.labels if group.name == labels)
        group = LabelSettings(subjects=chosen.subjects, sources=chosen.sources, fraction=chosen.fraction)
        split = replace(params.data.split, labels=group)
        settings = replace(params.finetune, optimiser=replace(params.finetune.optimiser, lr=lr))
        if arm == ARMS[1]:
            settings = replace(
                settings,
                epochs=settings.epochs + round(_windows(params.pretrain) / _windows(settings) * settings.epochs),
            )
        params = replace(params, data=replace(params.data, split=split), finetune=settings)
        parent = None
        if arm == ARMS[2]:
            parent = self._trial("-", "pre-training", params.seed, params.pretrain.optimiser.lr).folder / "model"
        return finetuning_job(params, parent=parent)


def _windows(settings: Any) -> int:
    return settings.epochs * settings.windows_per_epoch


def _longest_first(trials: Sequence[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: -trial.job.training.epochs)


def _validation(trial: Trial) -> float:
    return read_state(trial.folder).best_mpjpe


def _grouped(trials: Sequence[Trial]) -> dict[tuple[str, str], list[Trial]]:
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.labels, trial.arm), []).append(trial)
    return groups


def _row(trial: Trial, result: dict[str, Any]) -> dict[str, Any]:
    state = read_state(trial.folder)
    row = {"labels": trial.labels, "arm": trial.arm, "seed": trial.seed, "lr": trial.lr}
    row |= {"best_epoch": state.best_epoch, "validation_mpjpe": state.best_mpjpe}
    row |= {"mpjpe": result["frame_mean"]["mpjpe"], "mpjpe_action_mean": result["action_mean"]["mpjpe"]}
    row |= {"p_mpjpe": result["frame_mean"]["p_mpjpe"], "mpjve": result["frame_mean"]["mpjve"]}
    for group in ("subjects", "actions", "apart"):
        row |= {f"{group}.{name}": values["mpjpe"] for name, values in result[group].items()}
    return row


def main() -> None:
    """Run the study and write its table and figure."""
    params = load()
    with tracking.run("study", params, parent="project") as run:
        rows = Study(params).run()
        with whole_folder(OUTPUT) as folder:
            write_rows(folder / "trials.csv", rows)
            with whole_file(folder / "study.json") as partial:
                partial.write_text(json.dumps(rows, indent=2) + "\n")
            drawing.label_efficiency(rows, folder / "label_efficiency.png", note=_note(params))
        for path in sorted(OUTPUT.iterdir()):
            run.log_figure(path)


def _note(params: Params) -> str:
    kind = "synthetic motion, " if params.data.synthetic else ""
    return f"{params.data.name}: {kind}simulated detections, commit {git_state()[0][:10]}"


if __name__ == "__main__":
    run(main)
