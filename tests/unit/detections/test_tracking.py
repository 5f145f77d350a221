import numpy as np
import pytest

from mixste.detections import Detections, tracks
from mixste.errors import MixsteError
from tests.unit.detections.walkers import seen, walker


def whole(track, people) -> list[bool]:
    """Whose every detection a track holds, and nobody else's."""
    has = (track.keypoints[..., 2] > 0).any(axis=1)
    own = [person[track.first : track.first + len(has)] for person in people]
    return [bool((track.keypoints[has] == person[has]).all()) for person in own]


def crossing(seed: int, fps: float = 30) -> list[np.ndarray]:
    """Two who walk through each other in the middle of 100 frames."""
    return [walker(100, (100, 300), 8, seed=seed, fps=fps), walker(100, (900, 310), -8, seed=seed + 50, fps=fps)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "missed",
    [{}, {0: range(44, 56)}, {1: range(48, 51)}, {0: range(46, 54), 1: range(44, 53)}, {0: range(40, 60, 2)}],
    ids=["none", "one", "short", "both", "flicker"],
)
def test_two_who_cross_stay_themselves_though_some_frames_are_missed(seed, missed):
    people = crossing(seed)
    found = tracks(seen(*people, missed=missed, seed=seed))
    assert [len(track.keypoints) for track in found] == [100, 100]
    assert sorted(whole(track, people) for track in found) == [[False, True], [True, False]]


@pytest.mark.parametrize("seed", range(4))
def test_two_who_meet_and_turn_back_stay_themselves(seed):
    people = [walker(100, (0, 300), 0, seed=seed), walker(100, (0, 300), 0, seed=seed + 50)]
    way = 320 - 6 * np.minimum(np.arange(100), 100 - np.arange(100))
    for person, sign in zip(people, (-1, 1), strict=True):
        person[..., 0] += (640 + sign * way)[:, None]
    found = tracks(seen(*people, seed=seed))
    assert sorted(whole(track, people) for track in found) == [[False, True], [True, False]]


def test_joints_that_are_missed_at_random_cost_nobody_their_track():
    people = crossing(3)
    rng = np.random.default_rng(0)
    for person in people:
        person[rng.random(person.shape[:2]) < 0.3] = 0
    found = tracks(seen(*people))
    assert sorted(whole(track, people) for track in found) == [[False, True], [True, False]]


def test_a_gap_is_bridged_up_to_the_stated_time_with_zeros_between():
    person = walker(60, (100, 300), 4)
    detections = seen(person, missed={0: range(20, 32)})
    (bridged,) = tracks(detections, bridge=0.5)
    assert not bridged.keypoints[20:32].any()
    assert whole(bridged, [person]) == [True]
    before, after = sorted(tracks(detections, bridge=0.3), key=lambda track: track.first)
    assert (before.first, len(before.keypoints), after.first, len(after.keypoints)) == (0, 20, 32, 28)


def test_the_bridge_is_time_so_fps_matters():
    detections = seen(walker(60, (100, 300), 4), missed={0: range(20, 32)}, fps=None)
    assert len(tracks(detections)) == 1
    assert len(tracks(detections, fps=10)) == 2
    assert len(tracks(detections, fps=10, bridge=1.2)) == 1


def test_a_ghost_of_low_confidence_comes_after_the_person_though_it_is_as_long():
    person, ghost = walker(100, (100, 300), 5), walker(100, (900, 500), 0, height=120)
    ghost[..., 2] *= 0.4
    first, second = tracks(seen(person, ghost))
    assert (first.name, second.name) == ("person 1", "person 2")
    assert whole(first, [person, ghost]) == [True, False]
    assert whole(second, [person, ghost]) == [False, True]


def test_short_tracks_are_left_out_unless_all_are_short():
    person, ghost = walker(50, (100, 300), 5), walker(50, (900, 300), 0)
    detections = seen(person, ghost, missed={1: [*range(20), *range(24, 50)]})
    assert len(tracks(detections)) == 1
    assert [len(track.keypoints) for track in tracks(detections, least=1)] == [50, 4]
    assert tracks(detections, least=4)[1].first == 20
    single = Detections(detections.frames[:1], "coco17", "synthetic")
    assert [track.keypoints.shape for track in tracks(single)] == [(1, 17, 3)]


def test_a_person_found_in_two_parts_is_put_together():
    person = walker(40, (100, 300), 5)
    frames = [person[frame : frame + 1] for frame in range(40)]
    upper, lower = frames[20].copy(), frames[20].copy()
    upper[:, 12:] = 0
    lower[:, :11] = 0
    lower[:, 11] = (500, 500, 0.05)  # a joint of both, wrong in one
    frames[20] = np.concatenate([lower, upper])
    found = tracks(Detections(tuple(frames), "coco17", "synthetic", fps=30), least=1)
    assert len(found) == 1
    np.testing.assert_array_equal(found[0].keypoints, person)


def test_someone_beside_a_person_who_is_partly_hidden_is_not_taken_for_a_part():
    person, other = walker(40, (100, 300), 5), walker(40, (250, 300), 5, seed=2)
    person[20, 12:] = 0
    other[:20] = 0
    other[20, :12] = 0
    people = seen(person, other, missed={1: range(20)})
    first, second = tracks(people)
    assert len(first.keypoints) == 40
    assert second.first == 20


@pytest.mark.parametrize("choice", [{"fps": 0}, {"fps": -1.0}, {"fps": float("nan")}, {"bridge": -1}, {"least": 0}])
def test_impossible_choices_are_refused(choice):
    with pytest.raises(MixsteError, match="cannot follow people so"):
        tracks(seen(walker(5, (0, 0), 1)), **choice)
