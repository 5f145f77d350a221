"""What a sweep leaves of every epoch: a line, and in MLflow a child of the run of the sweep for each trial."""

import logging

from mixste.errors import counted
from mixste.training.objectives import Metric
from pipelines.sweeping.trials import FAILED, LIVE, Trial, Trials
from pipelines.tracking import Tracked

log = logging.getLogger(__name__)


class Followed:
    """A line and MLflow's record of every epoch of every trial, each once: MLflow's children of the sweep's run."""

    def __init__(self, trials: Trials, run: Tracked, metric: Metric) -> None:
        self.trials, self.run, self.metric = trials, run, metric
        self._runs: dict[int, Tracked] = {}
        self._logged: dict[int, int] = {}

    def __call__(self, trial: Trial) -> None:
        """Log what is new: everything that the trial's folder says beyond what was logged before."""
        history = self.trials.state(trial.number).history
        if trial.number not in self._runs:
            self._open(trial, history)
        own = self._runs[trial.number]
        for record in history[self._logged[trial.number] :]:
            error = record[self.metric.column]
            epoch = _log(own, record)
            log.info("trial %d  epoch %d  %s %.1f %s", trial.number, epoch, self.metric.label, error, self.metric.unit)
        self._logged[trial.number] = len(history)
        if trial.status != LIVE:
            why = f": {trial.why}" if trial.why else ""
            log.info("trial %d  %s after %s%s", trial.number, trial.status, counted(len(history), "epoch"), why)
            own.set_tags({"outcome": trial.status, "why": trial.why})
            own.end("FAILED" if trial.status == FAILED else "FINISHED")

    def _open(self, trial: Trial, history: list[dict[str, float]]) -> None:
        """Begin a trial's run, or go on with it; what an earlier sweep may not have logged of it is logged again."""
        own = self.run.child(f"trial {trial.number}", {"stage": "sweep trial"}, self.trials.place(trial.number))
        own.log_params(trial.values)
        log.info("trial %d  %s", trial.number, ", ".join(f"{key} {value}" for key, value in trial.values.items()))
        for record in history:
            _log(own, record)
        self._runs[trial.number], self._logged[trial.number] = own, len(history)


def _log(own: Tracked, record: dict[str, float]) -> int:
    epoch = int(record["epoch"])
    own.log_metrics({key: value for key, value in record.items() if key != "epoch"}, step=epoch)
    return epoch
