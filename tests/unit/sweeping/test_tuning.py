"""What a sweep does where Ray Tune ends as a whole."""

import logging

import pytest
from ray.exceptions import OutOfMemoryError

from mixste.errors import MixsteError
from pipelines.sweeping import tuning
from pipelines.sweeping.trials import LIVE, Trials
from tests.unit.sweeping.test_trials import Numbered


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Trials, and a Tuner that begins one and then ends as its next error says; no error: it runs all that is left."""
    trials, errors = Trials(tmp_path, Numbered(), limit=3, epochs=3), []

    class Tuner:
        def __init__(self, *arguments, **settings):
            pass

        def fit(self):
            trials.next()
            if errors:
                raise RuntimeError("Caught unexpected exception") from errors.pop(0)
            while trials.next():
                pass

    monkeypatch.setattr(tuning.tune, "Tuner", Tuner)
    settings = {"halving": None, "metric": "validation_mpjpe", "resources": {"CPU": 1}, "at_once": 2}
    return trials, errors, lambda: tuning.run_trials(trials, lambda trial: None, lambda trial: None, **settings)


def test_trials_that_ran_out_of_memory_go_on(sweep, caplog):
    trials, errors, run = sweep
    errors += [OutOfMemoryError("the node is low on memory\nmore")] * 2
    with caplog.at_level(logging.WARNING):
        run()
    assert caplog.text.count("they go on: the node is low on memory") == 2
    assert [(trial.number, trial.status) for trial in trials.all] == [(0, LIVE), (1, LIVE), (2, LIVE)]


def test_memory_that_runs_out_again_and_again_is_said(sweep):
    _, errors, run = sweep
    errors += [OutOfMemoryError("the node is low on memory")] * 4
    with pytest.raises(MixsteError, match=r"out of memory again and again.*low on memory.*lower sweep\.concurrency"):
        run()


def test_other_errors_of_tune_are_not_tried_again(sweep):
    _, errors, run = sweep
    errors.append(ValueError("a bug"))
    with pytest.raises(RuntimeError, match="unexpected"):
        run()
