"""The trainings of the label-efficiency study, made of the same jobs as the stages.

Three arms for every set of labels and seed: scratch with the fine-tuning budget, scratch with the budget of
pre-training and fine-tuning together, and pre-trained. Each arm takes the better of its own learning rates, by
validation MPJPE with the first seed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixste.errors import MixsteError
from mixste.machine.memory import keep_freed
from mixste.recipe import Execution, TrainingSettings
from mixste.training.jobs import TrainingJob, run_job
from mixste.training.state import read_state
from pipelines.cluster import fan_out
from pipelines.params import Params
from pipelines.recipes import data_seen, finetuning_job, pretraining_job
from pipelines.settings import NamedLabels, StudySettings
from pipelines.studying.report import Row, scored

ARMS = ("scratch", LONGER := "scratch, longer", PRETRAINED := "pre-trained")


@dataclass(frozen=True)
class Trial:
    """One training of the study: what it is, where it lives, and what its model says of its data."""

    labels: str
    arm: str
    seed: int
    folder: Path
    job: TrainingJob
    provenance: dict[str, Any]
    execution: Execution

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self.job.training.optimiser.lr

    @property
    def cost(self) -> int:
        """Windows seen in training."""
        return _windows(self.job.training)

    @property
    def row(self) -> Row:
        """What is known of it before it is scored."""
        return {"labels": self.labels, "arm": self.arm, "seed": self.seed, "lr": self.lr, "windows": self.cost}


class Study:
    """The trials of `params.study`, made of the same jobs as the stages."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.settings = _settings(params)
        self.folder = params.cluster.folder / "study"

    def run(self) -> list[Row]:
        """Train everything and score what lifts; one row for each set of labels, arm and seed."""
        seeds = self.settings.seeds
        pretrained = [self._pretraining(seed) for seed in seeds]
        scratch = [self._tuning(seeds[0], *key) for key in self._keys() if key[1] != PRETRAINED]
        self._train([*pretrained, *scratch], "pre-training, and scratch with the first seed")
        parents = {trial.seed: trial.folder / "model" for trial in pretrained}
        tuned = [self._tuning(seeds[0], *key, parents[seeds[0]]) for key in self._keys() if key[1] == PRETRAINED]
        self._train(tuned, "fine-tuning with the first seed")
        chosen = _better([*scratch, *tuned])
        rest = [
            self._tuning(seed, labels, arm, chosen[labels.name, arm].lr, parents[seed] if arm == PRETRAINED else None)
            for seed in seeds[1:]
            for labels in self.settings.labels
            for arm in ARMS
        ]
        self._train(rest, "the other seeds")
        tunings = [chosen[labels.name, arm] for labels in self.settings.labels for arm in ARMS]
        lifters = [trial for trial in (*pretrained, *tunings, *rest) if trial.job.masks is None]
        work = [(trial.row, trial.folder, self.params) for trial in lifters]
        return fan_out(scored, work, "scoring", address=self.params.cluster.address)

    def _keys(self) -> Iterable[tuple[NamedLabels, str, float]]:
        for labels in self.settings.labels:
            for arm, rates in zip(ARMS, self.settings.learning_rates.in_order, strict=True):
                for lr in rates:
                    yield labels, arm, lr

    def _pretraining(self, seed: int) -> Trial:
        return self._trial("", "pre-training", seed, pretraining_job(replace(self.params, seed=seed)))

    def _tuning(self, seed: int, labels: NamedLabels, arm: str, lr: float, parent: Path | None = None) -> Trial:
        """One fine-tuning; `scratch, longer` is given the pre-training's windows too."""
        params, settings = self.params, self.params.finetune
        settings = replace(settings, optimiser=replace(settings.optimiser, lr=lr))
        if arm == LONGER:
            extra = _windows(params.pretrain) / _windows(settings)
            settings = replace(settings, epochs=settings.epochs + round(extra * settings.epochs))
        split = replace(params.data.split, labels=labels)
        params = replace(params, seed=seed, data=replace(params.data, split=split), finetune=settings)
        return self._trial(labels.name, arm, seed, finetuning_job(params, parent=parent))

    def _trial(self, labels: str, arm: str, seed: int, job: TrainingJob) -> Trial:
        job = replace(job, precision=self.params.cluster.precision)
        origin = {
            **data_seen(self.params, job),
            "stage": f"study: {arm}",
            "labels": labels,
            "data_hash": job.data_hash(),
        }
        return Trial(labels, arm, seed, self.folder / job.fingerprint(), job, origin, self.params.cluster.execution)

    def _train(self, trials: Sequence[Trial], title: str) -> None:
        each_once = {trial.folder: trial for trial in trials}  # sets of labels may be alike but for their names
        longest_first = sorted(each_once.values(), key=lambda trial: -trial.cost)
        fan_out(_train, longest_first, title, address=self.params.cluster.address)


def _settings(params: Params) -> StudySettings:
    """Return the settings of the study; MixsteError if there are none, or if budgets cannot be compared."""
    if params.study is None:
        raise MixsteError(
            f"no study of data {params.data.name}",
            expected=f"the section study of params.yaml, from conf/study/{params.data.name}.yaml",
            mend="write that file like conf/study/sample.yaml, then run `make params`",
        )
    budgets = {name: getattr(params, name).windows_per_epoch for name in ("pretrain", "finetune")}
    endless = [f"{name}.windows_per_epoch" for name, windows in budgets.items() if windows is None]
    if endless:
        raise MixsteError(
            "the study cannot compare budgets",
            found=f"{' and '.join(endless)}: null",
            expected="a number of windows, the same for every set of labels",
            mend=f"run `make params {' '.join(f'{key}=2048' for key in endless)}`, or choose other recipes",
        )
    return params.study


def _train(trial: Trial) -> float:
    keep_freed()
    return run_job(trial.job, trial.folder, trial.provenance, trial.execution)


def _windows(settings: TrainingSettings) -> int:
    return settings.epochs * (settings.windows_per_epoch or 0)


def _better(trials: Sequence[Trial]) -> dict[tuple[str, str], Trial]:
    """The trial of each set of labels and arm that validates best."""
    by_error = sorted(trials, key=lambda trial: -read_state(trial.folder).kept_score)
    return {(trial.labels, trial.arm): trial for trial in by_error}
