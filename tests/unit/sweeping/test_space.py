"""What a sweep may try: keys and values refused by name, combinations held against the typed settings."""

from dataclasses import replace

import pytest

from mixste.errors import MixsteError
from pipelines.settings import SweptKey
from pipelines.sweeping.space import Space
from tests.unit.composed import composed

LR = SweptKey("finetune.optimiser.lr", range=(0.001, 0.01))


def space(*keys, overrides=(), train="scratch"):
    params = composed(*overrides)
    return Space(replace(params, sweep=replace(params.sweep, space=keys, train=train)))


def test_values_reach_the_settings_and_nothing_else_changes():
    params = composed()
    made = space(SweptKey("model.depth", (1, 3)), LR).params({"model.depth": 3, "finetune.optimiser.lr": 0.004})
    assert made.model == replace(params.model, depth=3)
    assert made.finetune == replace(params.finetune, optimiser=replace(params.finetune.optimiser, lr=0.004))
    assert (made.data, made.pretrain, made.seed) == (params.data, params.pretrain, params.seed)


def test_what_does_not_fit_together_is_told_by_the_settings_own_rule():
    swept = space(SweptKey("model.width", (16, 24)), SweptKey("model.heads", (3, 4)))
    assert swept.fits({"model.width": 24, "model.heads": 3})
    assert "a multiple of heads (3)" in swept.problem({"model.width": 16, "model.heads": 3})


@pytest.mark.parametrize("model", ["tiny", "pstmo_tiny", "stcformer_tiny"])
def test_the_default_space_fits_every_architecture(model):
    swept = Space(composed(f"model={model}"))
    assert all(swept.fits(swept.draw(number)) for number in range(20))


@pytest.mark.parametrize(
    ("key", "train", "overrides", "message"),
    [
        ("model.dept", "scratch", [], r"model\.dept cannot be swept.*did you mean model\.depth\?"),
        ("data.fps", "scratch", [], r"data\.fps cannot be swept.*a value of model or finetune"),
        ("model", "scratch", [], r"model cannot be swept"),
        ("finetune.epochs", "scratch", [], r"finetune\.epochs cannot be swept.*the same for every trial"),
        ("pretrain.corruption.noise", "scratch", [], r"nothing is pre-trained.*sweep\.train=finetune"),
        ("pretrain.masks.frames", "finetune", [], r"pretrain\.masks is null"),
        ("pretrain.loss.velocity", "finetune", ["pretrain=mpm"], r"pretrain\.loss is null"),
    ],
)
def test_a_key_that_cannot_be_swept_is_named(key, train, overrides, message):
    with pytest.raises(MixsteError, match=message):
        space(SweptKey(key, (0.5,)), train=train, overrides=overrides)


def test_masks_of_pre_training_can_be_swept():
    key = SweptKey("pretrain.masks.frames", (0.5, 0.8))
    made = space(key, train="finetune", overrides=["pretrain=mpm"]).params({"pretrain.masks.frames": 0.5})
    assert made.pretrain.masks.frames == 0.5


@pytest.mark.parametrize(
    ("swept", "message"),
    [
        (SweptKey("model.depth", (2, "deep")), r"model\.depth=deep fits nothing.*a whole number"),
        (SweptKey("model.heads", (4, 5)), r"model\.heads=5 fits nothing.*a multiple of heads \(5\)"),
        (SweptKey("model.drop_path", range=(0.1, 2.0)), r"model\.drop_path=2\.0 fits nothing.*below 1"),
    ],
)
def test_a_value_that_never_fits_is_named(swept, message):
    with pytest.raises(MixsteError, match=message):
        space(swept)


def test_a_space_of_which_nothing_fits_is_refused():
    with pytest.raises(MixsteError, match=r"no settings of the sweep fit.*a multiple of heads"):
        space(SweptKey("model.heads", (3, 5)), SweptKey("model.width", (32, 64)))


def test_draws_are_their_seeds_and_lie_in_the_ranges():
    swept = space(LR, SweptKey("model.depth", range=(1.0, 6.0)))
    draws = [swept.draw("seed", number) for number in range(200)]
    assert draws == [swept.draw("seed", number) for number in range(200)]
    rates = sorted(draw["finetune.optimiser.lr"] for draw in draws)
    assert 0.001 <= rates[0] < rates[-1] <= 0.01
    assert rates[100] == pytest.approx(0.00316, rel=0.2)  # half of a log-uniform range lies below the geometric mean
    assert all(rate == float(f"{rate:.3g}") for rate in rates)
    depths = [draw["model.depth"] for draw in draws]
    assert {type(depth) for depth in depths} == {int}
    assert set(depths) == {1, 2, 3, 4, 5, 6}


def test_a_grid_is_every_combination_that_fits():
    swept = space(SweptKey("model.width", (16, 24)), SweptKey("model.heads", (3, 4)))
    assert [tuple(values.values()) for values in swept.grid()] == [(16, 4), (24, 3), (24, 4)]
