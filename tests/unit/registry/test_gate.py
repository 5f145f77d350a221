"""The gate's sentences: who takes the alias, how sure that is, and what cannot be said."""

import numpy as np
import pytest

from mixste.errors import MixsteError
from mixste.scoring.paired import ClipErrors
from pipelines.registry import gate
from pipelines.registry.succession import Version


def version(number, *, headline="mpjpe", data="t", sure=0.975, **errors):
    tags = {f"test_{metric}_mm": str(error) for metric, error in errors.items()}
    return Version(number, {**tags, "test_data_hash": data, "test_headline": headline, "sure": str(sure)})


def clips(*errors):
    return ClipErrors(tuple(f"walk: S/{n}" for n in range(len(errors))), np.ones(len(errors)), np.array(errors))


def judged(challenger, champion, own=None, others=None):
    by_number = {challenger.number: own, champion.number if champion else 0: others}
    return gate.judge("best", lambda asked: by_number[asked.number], challenger, champion)


def spread(mean, by, count=24):
    return clips(*(mean + by * np.linspace(-1, 1, count)))


def test_the_first_version_becomes_champion():
    assert judged(version(1, mpjpe=50.04), None) == gate.Verdict(True, "best: the first version, test MPJPE 50.0 mm")


def test_a_sure_gain_takes_the_alias_and_says_all_of_it():
    found = judged(version(4, mpjpe=95.2), version(3, mpjpe=110.5), spread(95.2, 1), spread(110.5, 10))
    assert found.wins
    assert found.why == (
        "best: test MPJPE 95.2 mm is 15.3 mm lower than that of version 3 "
        "(95 % interval 13.1 to 17.5, better in 100.0 % of 10000 resamples of 24 clips)"
    )
    assert found.comparison.lower_mm == pytest.approx(15.3)


def test_a_gain_within_the_noise_does_not():
    found = judged(version(4, mpjpe=99.0), version(3, mpjpe=100), spread(99, -20), spread(100, 5))
    assert not found.wins
    assert found.why.startswith("not best: test MPJPE 99.0 mm is 1.0 mm lower than that of version 3 (95 % interval -")
    assert found.why.endswith(" of 10000 resamples of 24 clips; 97.5 % are asked for)")
    assert 0.5 < found.comparison.better_in < 0.975


def test_how_sure_it_takes_is_the_challengers_setting():
    own, others = spread(99, -20), spread(100, 5)
    assert judged(version(4, mpjpe=99.0, sure=0.5), version(3, mpjpe=100), own, others).wins
    assert judged(version(4, mpjpe=99.0, sure=0.0), version(3, mpjpe=100), own, others).wins


def test_a_loss_is_told_with_its_interval_the_same_way_round():
    found = judged(version(4, mpjpe=110.5), version(3, mpjpe=95.2), spread(110.5, 10), spread(95.2, 1))
    assert found.why == (
        "not best: test MPJPE 110.5 mm is 15.3 mm higher than that of version 3 "
        "(95 % interval 13.1 to 17.5, better in 0.0 % of 10000 resamples of 24 clips)"
    )


@pytest.mark.parametrize("sure", [0.0, 0.975])
def test_the_same_errors_do_not_move_the_alias(sure):
    same = spread(50, 9)
    found = judged(version(4, mpjpe=50, sure=sure), version(3, mpjpe=50), same, same)
    assert (found.wins, found.why) == (False, "not best: test MPJPE 50.0 mm, clip by clip as version 3")


def test_few_clips_cannot_say_enough_and_one_says_nothing():
    found = judged(version(4, mpjpe=40), version(3, mpjpe=50), clips(40, 40, 40), clips(50, 50, 50))
    assert not found.wins
    assert "of 3 clips, which can show 87.5 % at most; 97.5 % are asked for)" in found.why
    alone = judged(version(4, mpjpe=40), version(3, mpjpe=50), clips(40), clips(50))
    assert not alone.wins
    assert "which can show 50.0 % at most" in alone.why


def test_the_metric_of_the_protocol_decides():
    challenger = version(4, headline="p_mpjpe", mpjpe=60, p_mpjpe=30)
    found = judged(challenger, version(3, mpjpe=50, p_mpjpe=40), spread(30, 1), spread(40, 1))
    assert found.wins
    assert "test P-MPJPE 30.0 mm is 10.0 mm lower" in found.why


def test_a_champion_without_errors_by_clip_is_compared_by_its_mean_and_that_is_said():
    lower = judged(version(4, mpjpe=49), version(3, mpjpe=50), spread(49, 1), None)
    assert lower == gate.Verdict(
        True,
        "best: test MPJPE 49.0 mm is 1.0 mm lower than that of version 3; "
        "version 3 keeps no errors by clip, so that nobody can say how sure that is",
    )
    assert not judged(version(4, mpjpe=50), version(3, mpjpe=50), spread(50, 1), None).wins
    assert not judged(version(4, mpjpe=51), version(3, mpjpe=50), spread(51, 1), None).wins


@pytest.mark.parametrize(
    ("champion", "others", "reason"),
    [
        (version(3, mpjpe=90, data="u"), spread(90, 1), "version 3 was tested on other data, so the two"),
        (version(3, p_mpjpe=90), spread(90, 1), "version 3 has no mpjpe to compare with, so the two"),
        (version(3, mpjpe=float("nan")), None, "version 3 has no mpjpe to compare with, so the two"),
        (version(3, mpjpe=90), spread(90, 1, count=3), "version 3 cannot be compared with: other clips; found: clips"),
    ],
)
def test_what_cannot_be_compared_is_not_promoted_and_is_named(champion, others, reason):
    found = judged(version(4, mpjpe=50), champion, spread(50, 1), others)
    assert not found.wins
    assert reason in found.why
    assert "cannot be compared" in found.why


def test_errors_by_clip_that_are_gone_are_named():
    def gone(asked):
        raise MixsteError(f"the errors by clip of version {asked.number} are gone")

    found = gate.judge("best", gone, version(4, mpjpe=50), version(3, mpjpe=90))
    assert not found.wins
    assert "cannot be compared with: the errors by clip of version 4 are gone" in found.why
