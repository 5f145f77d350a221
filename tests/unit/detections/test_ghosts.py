"""Who is left out as no second person, and who must not be: people who cross, dance, stand, or are half hidden."""

import numpy as np
import pytest

from mixste.detections import ghosts, tracks
from tests.unit.detections.walkers import seen, walker


def left_out(*people, fps=30):
    """The indices of people who are left out, and the sentences."""
    missed = {n: np.flatnonzero(~person[..., 2].any(axis=1)) for n, person in enumerate(people)}
    found = tracks(seen(*people, fps=fps, missed=missed), least=1)
    assert len(found) == len(people)
    why = ghosts(found, fps)
    named = {track.name: track for track in found}
    return {
        next(n for n, person in enumerate(people) if _is(named[name], person)): sentence
        for name, sentence in why.items()
    }


def _is(track, person):
    has = (track.keypoints[..., 2] > 0).any(axis=1)
    return bool((track.keypoints[has] == person[track.first : track.first + len(has)][has]).mean() > 0.5)


def standing(frames, start, *, height=400, sway=0.0, confidence=1.0, seed=9):
    """Someone who stands where they are, `sway` pixels of noise, as sure as a walker or less."""
    person = np.repeat(walker(1, start, 0, height=height, seed=seed), frames, axis=0)
    person[..., :2] += np.random.default_rng(seed).normal(0, sway, person[..., :2].shape) if sway else 0
    person[..., 2] *= confidence
    return person


def test_a_picture_on_the_wall_is_left_out_and_the_sentence_says_why():
    why = left_out(walker(60, (100, 300), 5), standing(60, (800, 200), height=150, confidence=0.6))
    assert list(why) == [1]
    assert why[1].startswith("person 2 (60 frames) is left out: it stands as still as a picture or an onlooker")
    assert "its joints do not move at all" in why[1]
    assert "less surely seen than person 1 (confidence 0." in why[1]


@pytest.mark.parametrize(
    "other",
    [
        standing(60, (800, 200), confidence=0.97),  # as sure as the first: someone who waits
        standing(60, (800, 200), sway=12, confidence=0.6),  # sways
        standing(20, (800, 200), confidence=0.6),  # too short to tell
    ],
    ids=["sure", "sways", "short"],
)
def test_someone_who_stands_is_kept_unless_all_speaks_against_them(other):
    person = walker(60, (100, 300), 5)
    padded = np.zeros_like(person)
    padded[: len(other)] = other
    assert left_out(person, padded) == {}


def test_nobody_is_called_still_beside_someone_who_does_not_move_either():
    assert left_out(standing(60, (100, 300), sway=1), standing(60, (800, 300), confidence=0.6)) == {}


def test_a_double_of_a_person_is_left_out():
    person = walker(60, (100, 300), 5)
    double = person.copy()
    double[..., :2] += np.random.default_rng(0).normal(12, 4, double[..., :2].shape)
    double[..., 2] *= 0.9
    why = left_out(person, double)
    assert list(why) == [1]
    assert "in 100% of its frames it has the place and pose of person 1" in why[1]


def test_a_double_of_the_second_person_is_left_out_too():
    first, second = walker(60, (100, 300), 5), walker(60, (900, 300), -2, seed=3) * np.float32([1, 1, 0.9])
    double = second + np.float32([15, 5, 0])
    double[..., 2] *= 0.8
    assert list(left_out(first, second, double)) == [2]


def test_a_flicker_of_few_sure_joints_is_left_out_and_someone_half_hidden_is_not():
    person, flicker = walker(60, (100, 300), 5), walker(60, (800, 300), -3, seed=2)
    flicker[:, 3:, 2] *= 0.2
    why = left_out(person, flicker)
    assert "of its joints are surely seen (confidence above 0." in why[1]
    bust = walker(60, (800, 300), -3, seed=2)
    bust[:, 9:] = 0  # nothing below the elbows
    assert left_out(person, bust) == {}


@pytest.mark.parametrize("seed", range(4))
def test_two_who_cross_are_both_kept(seed):
    assert left_out(walker(100, (100, 300), 8, seed=seed), walker(100, (900, 310), -8, seed=seed + 50)) == {}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("apart", [60, 90, 140])  # pixels, of people 400 tall
def test_two_who_dance_close_for_the_whole_time_are_both_kept(seed, apart):
    time = np.arange(90) / 30
    pair = [walker(90, (500, 300), 0, seed=seed), walker(90, (500, 300), 0, seed=seed + 20)]
    pair[1][..., 2] *= 0.75
    for person, sign in zip(pair, (-1, 1), strict=True):
        person[..., 0] += (sign * apart / 2 + 40 * np.sin(2 * np.pi * time))[:, None]
        person[..., 1] += (sign * 8 * np.sin(3 * np.pi * time))[:, None]
    assert left_out(*pair) == {}
