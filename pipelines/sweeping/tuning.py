"""All of Ray Tune: trials side by side, each until ASHA stops it. Import it after `set_environment`: it imports ray."""

import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.exceptions import OutOfMemoryError
from ray.tune import FailureConfig, RunConfig
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from mixste.errors import MixsteError
from pipelines.settings import HalvingSettings
from pipelines.sweeping.trial import Work, run_trial
from pipelines.sweeping.trials import Trial, Trials

logging.getLogger("ray.tune").setLevel(logging.ERROR)
log = logging.getLogger(__name__)
Follow = Callable[[Trial], None]
OUT_OF_MEMORY = 3  # times that a sweep goes on after it


def run_trials(
    trials: Trials,
    work: Callable[[Trial], Work],
    follow: Follow,
    *,
    halving: HalvingSettings | None,
    metric: str,
    resources: Mapping[str, float],
    at_once: int,
) -> None:
    """Run all trials that are left; `follow` is called when one begins, after each of its epochs, and when it ends.

    Trials that ended before count in ASHA's comparisons by what they had reported. Where Ray ends trials because
    memory runs out, Tune fails as a whole: then those that were running go on. MixsteError if that happens too often.
    """
    for _ in range(OUT_OF_MEMORY + 1):
        try:
            return _tune(trials, work, follow, halving, metric, resources, at_once)
        except RuntimeError as error:
            if not isinstance(error.__cause__, OutOfMemoryError):
                raise
            reason = str(error.__cause__).splitlines()[0]
            log.warning("memory ran out, and Ray ended the trials that were running; they go on: %s", reason)
            trials.restart()
    raise MixsteError(
        "the sweep runs out of memory again and again",
        found=reason,
        mend="lower sweep.concurrency, give the machine more memory, or take large sizes out of sweep.space; the same "
        "command goes on",
    )


def _tune(
    trials: Trials,
    work: Callable[[Trial], Work],
    follow: Follow,
    halving: HalvingSettings | None,
    metric: str,
    resources: Mapping[str, float],
    at_once: int,
) -> None:
    scheduler = _scheduler(halving, metric, trials.epochs)
    for trial in trials.done:
        _recall(scheduler, f"before-{trial.number}", trials.state(trial.number).history)
    place = trials.folder / "tune"
    shutil.rmtree(place, ignore_errors=True)
    tune.Tuner(
        tune.with_resources(run_trial, dict(resources)),
        tune_config=tune.TuneConfig(
            search_alg=_Source(trials, work, follow, scheduler),
            scheduler=scheduler,
            num_samples=-1,  # until the source has no more
            max_concurrent_trials=at_once,
            reuse_actors=True,
        ),
        run_config=RunConfig(
            name=place.name,
            storage_path=str(trials.folder),
            failure_config=FailureConfig(max_failures=2),
            verbose=0,
        ),
    ).fit()
    shutil.rmtree(place, ignore_errors=True)


class _Source(Searcher):
    """Our trials as Tune's search algorithm: it asks for the next one and says when one reported or ended."""

    def __init__(
        self, trials: Trials, work: Callable[[Trial], Work], follow: Follow, scheduler: TrialScheduler
    ) -> None:
        super().__init__()
        self.trials, self.work, self.follow, self.scheduler = trials, work, follow, scheduler
        self.running: dict[str, Trial] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial. What it reported before is told to ASHA; its last epoch it will report again."""
        trial = self.trials.next()
        if trial is None:
            return Searcher.FINISHED
        self.running[trial_id] = trial
        _recall(self.scheduler, trial_id, self.trials.state(trial.number).history[:-1])
        self.follow(trial)
        return {"work": self.work(trial)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """An epoch of a trial ended, and it goes on."""
        self.follow(self.running[trial_id])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial was trained, was stopped by ASHA, or failed."""
        self.follow(self.trials.end(self.running.pop(trial_id).number, lost=error))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: `trials` are on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: `trials` are on disk."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles what it is given, for a way of going on that is not ours."""
        return {}


def _scheduler(halving: HalvingSettings | None, metric: str, epochs: int) -> TrialScheduler:
    if halving is None:
        return FIFOScheduler()
    return AsyncHyperBandScheduler(
        time_attr="epoch",
        metric=metric,
        mode="min",
        max_t=epochs,
        grace_period=min(halving.grace, epochs),
        reduction_factor=halving.reduction,
    )


def _recall(scheduler: TrialScheduler, trial_id: str, records: Iterable[dict[str, float]]) -> None:
    """Let the scheduler see records of an earlier session; what it makes of them was decided then."""
    trial = SimpleNamespace(trial_id=trial_id)
    scheduler.on_trial_add(None, trial)
    for record in records:
        scheduler.on_trial_result(None, trial, record)
