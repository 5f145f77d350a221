"""The paired bootstrap: its figures against plain ones, and what cannot be compared."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import bootstrap

from mixste.errors import MixsteError
from mixste.scoring.paired import ClipErrors, compare, read_clip_errors


def clips(errors, weights=None, names=None):
    errors = np.array(errors, dtype=float)
    weights = np.ones(len(errors)) if weights is None else np.array(weights)
    return ClipErrors(tuple(names or (f"walk: S/{n}" for n in range(len(errors)))), weights, errors)


def drawn(seed, count=40):
    random = np.random.default_rng(seed)
    champion = random.uniform(40, 90, count)
    return clips(champion + random.normal(-1, 4, count)), clips(champion)


def test_the_interval_and_the_share_are_those_of_scipy():
    model, other = drawn(1)
    found = compare(model, other)
    own = bootstrap(
        (other.errors - model.errors,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(7)
    )
    assert found.interval_mm == pytest.approx(own.confidence_interval, abs=0.06)
    assert found.better_in == pytest.approx((own.bootstrap_distribution > 0).mean(), abs=0.015)
    assert found.lower_mm == pytest.approx((other.errors - model.errors).mean())


def test_few_clips_are_drawn_as_often_as_counting_all_draws_says():
    lower, weights = np.array([5.0, -2.0, -1.0]), np.array([0.2, 0.5, 0.3])
    draws = [np.average(lower[list(d)], weights=weights[list(d)]) for d in product(range(3), repeat=2)]
    found = compare(clips(50 - lower, weights), clips([50.0] * 3, weights), resamples=60_000)
    assert found.better_in == pytest.approx(np.mean(np.array(draws) > 0), abs=0.01)
    assert found.lower_mm == pytest.approx(0.2 * 5 - 0.5 * 2 - 0.3)


def test_clips_count_by_their_weight():
    found = compare(clips([10, 30], [0.75, 0.25]), clips([12, 30], [0.75, 0.25]))
    assert found.lower_mm == pytest.approx(1.5)


def test_the_order_of_clips_does_not_matter_and_pairs_stay_pairs():
    model, other = drawn(2)
    shuffled = np.random.default_rng(0).permutation(len(other.clips))
    turned = clips(other.errors[shuffled], names=[other.clips[n] for n in shuffled])
    assert compare(model, turned) == compare(model, other)


def test_the_same_errors_are_better_in_no_resample():
    model, _ = drawn(3)
    found = compare(model, model)
    assert (found.lower_mm, found.interval_mm, found.better_in, found.sureness) == (0, (0, 0), 0, 0)


def test_the_other_way_round_the_signs_turn():
    model, other = drawn(4)
    one, two = compare(model, other), compare(other, model)
    assert one.lower_mm == pytest.approx(-two.lower_mm)
    assert one.interval_mm == pytest.approx((-two.interval_mm[1], -two.interval_mm[0]))
    assert one.better_in + two.better_in == pytest.approx(1)


@pytest.mark.parametrize(("count", "sureness"), [(1, 0.5), (2, 0.75), (5, 0.96875), (6, 0.984375)])
def test_few_clips_cannot_be_surer_than_a_toss_of_as_many_coins(count, sureness):
    found = compare(clips([40.0] * count), clips([50.0] * count))
    assert (found.better_in, found.sureness) == (1, sureness)


def test_more_clips_than_fit_at_once_are_drawn_in_blocks(monkeypatch):
    model, other = drawn(5)
    whole = compare(model, other, resamples=1001)
    monkeypatch.setattr("mixste.scoring.paired._BLOCK", 400)
    assert compare(model, other, resamples=1001) == whole


def test_equal_models_are_called_better_about_as_often_as_is_meant():
    """2.9 % of 3000 pairs on 25 clips where 2.5 % are meant; three standard errors of 300 pairs are allowed."""
    random = np.random.default_rng(0)
    reached = 0
    for _ in range(300):
        other = random.normal(60, 5, 25)
        reached += compare(clips(other + random.normal(0, 5, 25)), clips(other), resamples=1000).sureness >= 0.975
    assert reached / 300 < 0.029 + 3 * np.sqrt(0.029 * 0.971 / 300)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (clips([1, 2], names=["walk: S/0", "walk: S/9"]), "only one of the two walk: S/1, walk: S/9"),
        (clips([1, 2, 3]), "only one of the two walk: S/2"),
        (clips([1, 2], [1, 2]), "other weights of walk: S/1"),
    ],
)
def test_other_clips_are_refused_by_name(other, message):
    with pytest.raises(MixsteError, match=message):
        compare(clips([1, 2]), other)


@pytest.mark.parametrize(
    ("errors", "weights", "names", "message"),
    [
        ([1, np.nan], None, None, "error nan of clip walk: S/1"),
        ([1, np.inf], None, None, "error inf of clip walk: S/1"),
        ([1, 2], [1, 0], None, "weight 0 of clip walk: S/1"),
        ([1, 2], None, ["a", "a"], "2 clips of 1 name"),
        ([], None, None, "0 clips"),
    ],
)
def test_errors_that_are_no_numbers_or_of_no_clip_are_refused_by_name(errors, weights, names, message):
    with pytest.raises(MixsteError, match=message):
        clips(errors, weights, names)


def test_a_file_without_the_model_or_the_metric_is_a_clear_error(tmp_path):
    path = tmp_path / "per_clip.csv"
    path.write_text("model,group,clip,weight,mpjpe\na,walk,S/1,0.25,40.5\na,run,S/1,0.75,20.5\n")
    found = read_clip_errors(path, "a", "mpjpe")
    assert (found.clips, found.mean) == (("walk: S/1", "run: S/1"), 25.5)
    for name, metric in (("b", "mpjpe"), ("a", "p_mpjpe")):
        with pytest.raises(MixsteError, match="evaluate"):
            read_clip_errors(path, name, metric)
    with pytest.raises(MixsteError, match="dvc repro evaluate"):
        read_clip_errors(tmp_path / "absent.csv", "a", "mpjpe")
