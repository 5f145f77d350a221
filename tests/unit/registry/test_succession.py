"""Who is champion: the same answer for all who ask, whatever comes between their steps and whoever is killed."""

from functools import partial

import pytest

from mixste.scoring.paired import Comparison
from pipelines.registry.succession import (
    BEFORE,
    CHOSEN,
    HEADLINE,
    LOST,
    ROLLED_BACK,
    ROLLED_BACK_WHY,
    SURE,
    VERDICT,
    State,
    Verdict,
    Version,
    chain,
    choose,
    previous,
    settle,
    standing,
    succeed,
)
from tests.unit.registry.interleaving import Memory, chance, interleave

MARGIN = 1.0


def judge(version: Version, champion: Version | None) -> Verdict:
    """Better by more than the margin on the same data: as the real gate, this is no order of all versions."""
    if champion is None:
        return Verdict(True, "first")
    same = version.tags["data"] == champion.tags["data"]
    wins = same and float(champion.tags["error"]) - float(version.tags["error"]) > MARGIN
    comparison = Comparison(0, (0, 0), 0, 1, 1) if same else None
    return Verdict(wins, f"{'better' if wins else 'not better'} than {champion.number}", comparison)


def plain(errors: list[tuple[float, str]]) -> int:
    """The number of the champion, by walking all versions once."""
    best = 0
    for number, (error, data) in enumerate(errors):
        if data == errors[best][1] and errors[best][0] - error > MARGIN:
            best = number
    return best + 1


def registered(memory: Memory, error: float, data: str = "a", *, upto: str = "settle") -> int:
    number = memory.add(error=error, data=data, **{HEADLINE: "mpjpe", SURE: 0.975})
    if upto == "settle":
        settle(memory, judge)
    return number


def history(*errors: float) -> Memory:
    memory = Memory()
    for error in errors:
        registered(memory, error)
    return memory


def go_back(memory: Memory, to: int | None = None, why: str = "") -> None:
    state = memory.state()
    target = previous(state) if to is None else state.version(to)
    if target is not None:
        choose(memory, state, target, when="today", why=why)
    settle(memory, judge)


def errors_of(memory: Memory) -> list[tuple[float, str]]:
    return [(float(tags["error"]), tags["data"]) for _, tags in sorted(memory.tags.items())]


@pytest.mark.parametrize("seed", range(60))
def test_any_number_of_registrations_at_once_agree_with_one_after_the_other(seed):
    random, memory = chance(seed), Memory()
    users = [
        partial(registered, memory, random.randint(40, 46), random.choice("aaab")) for _ in range(random.randint(2, 5))
    ]
    interleave(memory, users, random)
    assert len(memory.tags) == len(users)
    assert memory.alias == plain(errors_of(memory))


@pytest.mark.parametrize("seed", range(60))
def test_whoever_is_killed_the_next_registration_makes_it_right(seed):
    random, memory = chance(1000 + seed), history(47.0)
    users = [partial(registered, memory, random.randint(38, 48)) for _ in range(4)]
    killed = interleave(memory, users, random, killed=0.08)
    assert memory.alias in memory.tags
    registered(memory, 60.0)
    assert memory.alias == plain(errors_of(memory)), f"{killed} killed"
    line = [memory.alias, *(version.number for version in chain(memory.state(), standing(memory.state())))]
    assert line[-1] == 1
    assert line == sorted(line, reverse=True)


@pytest.mark.parametrize("seed", range(60))
def test_a_rollback_amid_registrations_and_kills_leaves_none_of_what_it_took_back(seed):
    random, memory = chance(2000 + seed), history(60.0, 55.0, 50.0)
    seen = []

    def operator():
        state = memory.state()
        choose(memory, state, previous(state), when="today", why="")
        seen.append(standing(state).number)
        settle(memory, judge)

    interleave(
        memory,
        [operator, *(partial(registered, memory, random.randint(45, 58)) for _ in range(3))],
        random,
        killed=random.choice([0, 0.05]),
    )
    settle(memory, judge)
    state = memory.state()
    champion = state.version(state.alias)
    assert champion == succeed(state, judge).champion
    assert not champion.rolled_back
    for number in seen:
        assert state.version(number).rolled_back
        assert champion.number != number


def test_a_stale_writer_is_put_right_by_its_own_second_look():
    memory = history(50.0, 45.0)
    memory.move_alias(1)
    settle(memory, judge)
    assert memory.alias == 2


def test_rolling_back_goes_to_the_champion_before_and_stays_there():
    memory = history(60.0, 50.0, 55.0)
    go_back(memory, why="jitters")
    assert memory.alias == 1
    assert memory.tags[2][ROLLED_BACK_WHY] == "jitters"
    assert memory.tags[3][ROLLED_BACK_WHY] == "later than version 1, which was gone back to"
    settle(memory, judge)
    assert memory.alias == 1, "version 3 would beat version 1, but is as old as the decision"
    registered(memory, 58.0)
    assert memory.alias == 4
    assert memory.tags[4][BEFORE] == "1"


def test_rolling_back_again_goes_further_and_ends_at_the_first():
    memory = history(60.0, 50.0, 40.0)
    go_back(memory)
    go_back(memory)
    assert memory.alias == 1
    assert previous(memory.state()) is None


def test_a_version_that_lost_can_be_chosen_and_its_champion_before_is_known():
    memory = history(60.0, 70.0, 50.0)
    go_back(memory, to=2)
    assert memory.alias == 2
    assert memory.tags[2][CHOSEN] == "today"
    assert previous(memory.state()).number == 1


def test_a_version_on_other_data_is_chosen_and_gone_back_from():
    memory = history(60.0, 50.0)
    registered(memory, 20.0, "b")
    assert memory.alias == 2
    go_back(memory, to=3)
    assert memory.alias == 3
    assert not any(ROLLED_BACK in tags for tags in memory.tags.values()), "nothing earlier was taken back"
    registered(memory, 15.0, "b")
    assert memory.alias == 4
    go_back(memory)
    go_back(memory)
    assert memory.alias == 2


def test_what_could_not_be_compared_is_looked_at_again_and_written_once():
    memory = history(60.0)
    registered(memory, 20.0, "b")
    assert LOST not in memory.tags[2]
    written = []
    memory.tag = lambda number, tags: written.extend(tags)
    settle(memory, judge)
    assert written == []


def test_what_was_rolled_back_can_be_chosen_again():
    memory = history(60.0, 50.0)
    go_back(memory)
    go_back(memory, to=2)
    assert memory.alias == 2
    assert ROLLED_BACK not in memory.tags[2]
    assert memory.tags[2][BEFORE] == "1"


def test_a_rollback_that_was_killed_before_the_alias_is_gone_on_with_by_anybody():
    memory = history(60.0, 50.0)
    choose(memory, memory.state(), memory.state().version(1), when="today", why="")
    assert memory.alias == 2
    registered(memory, 70.0)
    assert memory.alias == 1


def test_a_version_that_lost_is_not_judged_again():
    memory, judged = history(50.0, 55.0), []

    def counting(version, champion):
        judged.append(version.number)
        return judge(version, champion)

    assert memory.tags[2][LOST] == "1, sure 0.975"
    assert memory.tags[2][VERDICT] == "not better than 1"
    settle(memory, counting)
    assert judged == []
    memory.tag(2, {SURE: 0.8})
    settle(memory, counting)
    assert judged == [2], "asked to be less sure, it is"


def test_versions_of_other_hands_are_no_challengers_but_can_be_champion():
    memory = Memory()
    memory.add(error=10.0, data="a")
    settle(memory, judge)
    assert memory.alias is None
    memory.move_alias(1)
    registered(memory, 5.0)
    assert memory.alias == 2


def test_a_version_that_is_gone_is_nobodys_champion_before():
    memory = history(60.0, 50.0, 40.0)
    del memory.tags[2]
    assert chain(memory.state(), memory.state().version(3)) == []
    assert standing(State((), 3)) is None
