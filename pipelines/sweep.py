"""Accuracy against cost: train many settings of params.sweep side by side. On demand, not part of `dvc repro`.

Trials are chosen and compared by the validation subjects alone; test subjects are never read. Each trial is a training
of the stages, one process and its own folder; a sweep that is started again goes on.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from mixste.errors import MixsteError, counted
from pipelines import cluster, tracking
from pipelines.params import Params, load
from pipelines.places import PROJECTIONS, SWEEP
from pipelines.process.locks import alone
from pipelines.process.stage import run
from pipelines.recipes import data_seen, finetuning_job, pretraining_job
from pipelines.sweeping.draws import Draws
from pipelines.sweeping.followed import Followed
from pipelines.sweeping.report import Results, write_report
from pipelines.sweeping.space import Space
from pipelines.sweeping.trial import Work
from pipelines.sweeping.trials import Trial, Trials

log = logging.getLogger(__name__)


class Sweep:
    """What `params.sweep` asks for: its trials, and each trial's trainings. MixsteError if there is nothing to try."""

    def __init__(self, params: Params) -> None:
        if params.data.split.validation.seen:
            raise MixsteError(
                "a sweep chooses by the validation subjects",
                found="data.split.validation.seen: true, they train, too",
                expected="validation subjects who do not train",
                mend="choose other data with `make params`",
            )
        self.params, self.settings, self.space = params, params.sweep, Space(params)
        self.cluster = replace(
            params.cluster, workers=1, min_workers=None, cpus_per_worker=params.cluster.cpus_per_worker or 1
        )
        self.base = self._work(params, Path())
        self.folder = params.cluster.folder / "sweep" / self._key()

    @cached_property
    def trials(self) -> Trials:
        """What was tried so far, read when first asked for: by then the folder is ours."""
        draws = Draws(self.space, self.settings.searcher, self.params.seed)
        return Trials(self.folder, draws, limit=self.settings.trials, epochs=self.params.finetune.epochs)

    def work(self, trial: Trial) -> Work:
        """The trainings of a trial."""
        return self._work(self.space.params(trial.values), self.trials.place(trial.number))

    def _work(self, params: Params, place: Path) -> Work:
        """The trainings of these settings, as the stages would do them, in one process."""
        precision, pretraining = params.cluster.precision, None
        if self.settings.train == "finetune":
            pretraining = replace(pretraining_job(params), precision=precision)
        about = {} if pretraining is None else {**data_seen(params, pretraining), "stage": "sweep: pre-training"}
        return Work(
            folder=place,
            tuning=replace(finetuning_job(params, parent=None), precision=precision),
            pretraining=pretraining,
            pretrained=place.parent / f"pretrain-{pretraining.fingerprint() if pretraining else ''}",
            provenance=about,
            threads=self.cluster.cpus_per_worker or 1,
            gpu=self.cluster.gpus_per_worker > 0,
            execution=params.cluster.execution,
        )

    def run(self, follow: Callable[[Trial], None]) -> Results:
        """Run every trial that is left; MixsteError if all failed."""
        cluster.connect(self.cluster.address, dashboard=self.cluster.dashboard)
        from pipelines.sweeping import tuning

        resources = cluster.resources_per_worker(self.cluster)
        room = self.params.cluster.workers if self.cluster.autoscaling else cluster.room(resources)
        log.info("done: %d of %s", len(self.trials.done), counted(self.settings.trials, "trial"))
        tuning.run_trials(
            self.trials,
            self.work,
            follow,
            halving=self.settings.halving,
            metric=self.base.tuning.metric.column,
            resources=resources,
            at_once=self.settings.concurrency or room,
        )
        if not self.trials.done:
            why = next((trial.why for trial in self.trials.all if trial.why), "no trials")
            raise MixsteError("every trial of the sweep failed", found=why, mend="change sweep.space, or what it says")
        return Results(self.params, self.space, self.trials, self.base.tuning)

    def _key(self) -> str:
        """Names the sweep by all that decides its trials, but not by how many there are: more of them go on with it."""
        settings = replace(self.settings, trials=1, concurrency=None)
        jobs = [job.fingerprint() for job in (self.base.tuning, self.base.pretraining) if job is not None]
        return hashlib.md5(repr((jobs, settings)).encode(), usedforsecurity=False).hexdigest()[:12]


def main() -> None:
    """Run the sweep and write its report."""
    params = load()
    sweep = Sweep(params)
    data_hash = sweep.base.tuning.data_hash()
    tracked = tracking.run("sweep", params, data_hash=data_hash, parent=PROJECTIONS, output=SWEEP, folder=sweep.folder)
    with alone(sweep.folder), tracked as run:
        follow = Followed(sweep.trials, run, sweep.base.tuning.metric)
        result = write_report(SWEEP, sweep.run(follow))
        for path in sorted(SWEEP.iterdir()):
            run.log_figure(path)
    log.info("%s", result)


if __name__ == "__main__":
    run(main)
