import logging
from types import SimpleNamespace

import pytest

from pipelines.sweeping.followed import Followed
from pipelines.sweeping.trials import FAILED, TRAINED, Trial


@pytest.mark.parametrize(
    ("status", "why", "epochs", "said"),
    [
        (TRAINED, "", 1, "trial 0  trained after 1 epoch"),
        (TRAINED, "", 2, "trial 0  trained after 2 epochs"),
        (FAILED, "it diverged", 0, "trial 0  failed after 0 epochs: it diverged"),
    ],
)
def test_what_became_of_a_trial_is_one_line(tmp_path, caplog, status, why, epochs, said):
    caplog.set_level(logging.INFO)
    history = [{"epoch": epoch, "error": 1.0} for epoch in range(epochs)]
    nothing = lambda *given, **options: None  # noqa: E731
    own = SimpleNamespace(log_params=nothing, log_metrics=nothing, set_tags=nothing, end=nothing)
    trials = SimpleNamespace(state=lambda number: SimpleNamespace(history=history), place=lambda number: tmp_path)
    run, metric = SimpleNamespace(child=lambda *given: own), SimpleNamespace(column="error")
    Followed(trials, run, metric)(Trial(0, {}, status, why))
    assert caplog.messages[-1] == said
