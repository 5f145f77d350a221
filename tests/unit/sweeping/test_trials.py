"""The list of trials: what is next after a stop anywhere, and what is believed of each."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from mixste.errors import MixsteError
from mixste.models.checkpoint import write_tensors
from mixste.training.state import FILE, State
from pipelines.sweeping.trial import FAILURE
from pipelines.sweeping.trials import FAILED, LIVE, STOPPED, TRAINED, Trials


class Numbered:
    """Draws the trial's own number, at most five times; keeps what it was told."""

    def next(self, number, ended, live=()):
        self.told = [error for _, error in ended], len(live)
        return {"n": number} if number < 5 else None


@pytest.fixture
def begun(tmp_path):
    return lambda limit=5: Trials(tmp_path, Numbered(), limit=limit, epochs=3)


def trained(trials, number, epochs, error=50.0):
    """Leave what a training of so many epochs leaves."""
    history = [{"epoch": epoch + 1} for epoch in range(epochs)]
    state = State(epoch=epochs, kept_epoch=epochs, kept_score=error, history=history)
    write_tensors(trials.place(number) / FILE, {}, {"progress": json.dumps(asdict(state))})


def test_what_became_of_a_trial_is_what_its_folder_says(begun):
    trials = begun()
    for _ in range(5):
        trials.next()
    trained(trials, 0, 3)
    trained(trials, 1, 2)
    trained(trials, 4, 2)
    trained(trials, 2, 3)
    (trials.place(2) / FAILURE).write_text("training diverged")
    assert [trials.end(number).status for number in range(4)] == [TRAINED, STOPPED, FAILED, FAILED]
    assert trials.end(4, lost=True).status == FAILED
    lost = "its worker was lost after epoch {}; out of memory?"
    assert [trial.why for trial in trials.all] == ["", "", "training diverged", lost.format(0), lost.format(2)]
    assert [trial.number for trial in trials.done] == [0, 1]


def test_started_again_it_goes_on_with_what_was_left_then_draws_the_rest(begun):
    trials = begun()
    for _ in range(3):
        trials.next()
    trained(trials, 1, 3)
    trials.end(1)
    trials.end(2)  # failed
    again = begun()
    assert [(again.next()).number for _ in range(4)] == [0, 2, 3, 4]
    assert again.next() is None
    assert [trial.values for trial in again.all] == [{"n": number} for number in range(5)]


def test_a_failed_trial_is_tried_once_a_session(begun):
    trials = begun(limit=1)
    trials.end(trials.next().number)
    assert trials.next() is None
    assert begun(limit=1).next().number == 0


def test_a_larger_limit_goes_on_with_the_same_trials(begun):
    trials = begun(limit=2)
    for _ in range(2):
        trained(trials, trials.next().number, 3)
        trials.end(len(trials.all) - 1)
    assert trials.next() is None
    assert begun(limit=3).next().number == 2


def test_draws_are_told_errors_of_the_ended_and_what_runs(begun):
    trials = begun()
    for _ in range(3):
        trials.next()
    trained(trials, 0, 3, error=70.0)
    trials.end(0)
    trials.end(1)
    trials.next()
    assert trials.draws.told == ([70.0, None], 1)


def test_the_list_is_on_disk_before_a_trial_begins(begun):
    begun().next()
    assert [trial.status for trial in begun().all] == [LIVE]


def test_a_broken_list_is_named(begun, tmp_path):
    (tmp_path / "trials.json").write_text('[{"number": 0')
    with pytest.raises(MixsteError, match=r"trials\.json.*delete its folder"):
        begun()


def test_asha_counts_what_earlier_sessions_reported():
    from pipelines.settings import HalvingSettings
    from pipelines.sweeping.tuning import _recall, _scheduler

    scheduler = _scheduler(HalvingSettings(grace=1, reduction=2), "error", 4)
    for name, error in (("a", 10.0), ("b", 20.0)):
        _recall(scheduler, name, [{"epoch": 1, "error": error}])
    new = SimpleNamespace(trial_id="new")
    scheduler.on_trial_add(None, new)
    assert scheduler.on_trial_result(None, new, {"epoch": 1, "error": 16.0}) == "STOP"  # the median is 15
