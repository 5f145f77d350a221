"""What a sweep leaves of every epoch: a line, and in MLflow a child of the run of the sweep for each trial."""

import logging

from mixste.objectives import Metric
from pipelines.sweeping.trials import FAILED, LIVE, Trial, Trials
from pipelines.tracking import Tracked

log = logging.getLogger(__name__)


class Followed:
    """A line and MLflow's record of every epoch of every trial, each once: MLflow's children of the sweep's run."""

    def __init__(self, trials: Trials, run: Tracked, experiment: str, metric: Metric) -> None:
        self.trials, self.run, self.experiment, self.metric = trials, run, experiment, metric
        self._runs: dict[int, Tracked] = {}
        self._logged: dict[int, int] = {}

    def __call__(self, trial: Trial) -> None:
        """Log what is new: everything that the trial's folder says beyond what was logged before."""
        if trial.number not in self._runs:
            self._open(trial)
        own, history = self._runs[trial.number], self.trials.state(trial.number).history
        for record in history[self._logged[trial.number] :]:
            epoch = int(record["epoch"])
            error = record[self.metric.column]
            log.info("trial %d  epoch %d  %s %.1f %s", trial.number, epoch, self.metric.label, error, self.metric.unit)
            own.log_metrics({key: value for key, value in record.items() if key != "epoch"}, step=epoch)
        self._logged[trial.number] = len(history)
        if trial.status != LIVE:
            log.info("trial %d  %s after %d epochs  %s", trial.number, trial.status, len(history), trial.why)
            own.set_tags({"outcome": trial.status, "why": trial.why})
            own.end("FAILED" if trial.status == FAILED else "FINISHED")

    def _open(self, trial: Trial) -> None:
        place = self.trials.place(trial.number)
        own = self.run.child(f"trial {trial.number}", self.experiment, {"stage": "sweep trial"}, place)
        own.log_params(trial.values)
        log.info("trial %d  %s", trial.number, ", ".join(f"{key} {value}" for key, value in trial.values.items()))
        self._runs[trial.number], self._logged[trial.number] = own, own.steps(self.metric.column)
