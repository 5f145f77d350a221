"""The next trial's values: reproducible, never impossible, never twice, and better with what is known."""

from collections import Counter
from dataclasses import replace

import pytest

from pipelines.settings import SweptKey
from pipelines.sweeping.draws import STARTUP, Draws
from pipelines.sweeping.space import Space
from tests.unit.composed import composed

SIZES = (SweptKey("model.width", (16, 24)), SweptKey("model.heads", (3, 4)), SweptKey("model.depth", (1, 2)))
LR = SweptKey("finetune.optimiser.lr", range=(0.0001, 0.1))


@pytest.fixture
def draws():
    params = composed()

    def make(*keys, searcher="optuna", seed=0):
        return Draws(Space(replace(params, sweep=replace(params.sweep, space=keys))), searcher, seed)

    return make


def run(draws, error, count):
    """Trials one after the other, with the errors that a function of their values gives."""
    ended = []
    while len(ended) < count and (values := draws.next(len(ended), ended)) is not None:
        ended.append((values, error(values)))
    return ended


@pytest.mark.parametrize("searcher", ["optuna", "random", "grid"])
def test_each_combination_that_fits_is_drawn_once_and_then_there_is_none(draws, searcher):
    ended = run(draws(*SIZES, searcher=searcher), lambda values: float(values["model.width"]), 100)
    found = {tuple(values.values()) for values, _ in ended}
    assert len(ended) == len(found) == 6
    assert (16, 3) not in {combination[:2] for combination in found}


@pytest.mark.parametrize("searcher", ["optuna", "random"])
def test_a_draw_depends_on_seed_number_and_results_alone(draws, searcher):
    first = run(draws(*SIZES, LR, searcher=searcher), lambda values: values[LR.key], 8)
    assert draws(*SIZES, LR, searcher=searcher).next(8, first) == draws(*SIZES, LR, searcher=searcher).next(8, first)
    assert run(draws(*SIZES, LR, searcher=searcher), lambda values: values[LR.key], 8) == first
    assert run(draws(*SIZES, LR, searcher=searcher, seed=1), lambda values: values[LR.key], 8) != first


def test_what_runs_is_not_drawn_again(draws):
    made = draws(*SIZES)
    values = made.next(0, [])
    assert made.next(0, [], [values]) != values


def test_optuna_comes_back_to_what_was_good(draws):
    def error(values):
        return 100.0 if values["model.depth"] == 1 else abs(values[LR.key] - 0.001)

    later = [values for values, _ in run(draws(SIZES[2], LR), error, 30)[STARTUP:]]
    assert Counter(values["model.depth"] for values in later)[2] > 20
    assert sum(0.0003 < values[LR.key] < 0.003 for values in later) > 12  # a third of the range, drawn at random


def test_a_failed_trial_teaches_nothing_but_is_not_tried_again(draws):
    made = draws(*SIZES)
    failed = [(made.next(0, []), None)]
    assert made.next(1, failed) not in [values for values, _ in failed]
