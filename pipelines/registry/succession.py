"""Who is champion: a rule on nothing but what the registry holds, so that all who ask it come to the same answer.

The champion is the version that the alias stands at, or that it was rolled back to. Every later version that is not
rolled back challenges it in the order of numbers, and takes its place if the gate says so or a person chose it.
Whoever has made a version, or rolled one back, brings the alias there and looks again until nothing changes. Nobody
trusts what it knew before, so that it does not matter who writes when: the last to look has seen everything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mixste.scoring.paired import Comparison

# What a version's tags say of its place in the succession.
BEFORE = "champion_before"
LOST = "lost_to"
VERDICT = "verdict"
CHOSEN = "chosen_at"
ROLLED_BACK = "rolled_back_at"
ROLLED_BACK_TO = "rolled_back_to"
ROLLED_BACK_WHY = "rolled_back_why"
# What it says of itself and is compared by; a version without a headline was not registered by this code.
HEADLINE = "test_headline"
TEST_DATA = "test_data_hash"
SURE = "sure"


@dataclass(frozen=True)
class Version:
    """A registered version: its number and tags."""

    number: int
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def rolled_back(self) -> bool:
        """Whether it was taken back, and is champion again only if it is chosen by name."""
        return ROLLED_BACK in self.tags


@dataclass(frozen=True)
class State:
    """What a registry holds: the versions in the order of their numbers, and the number that the alias stands at."""

    versions: tuple[Version, ...]
    alias: int | None

    def version(self, number: object) -> Version | None:
        """Return the version of a number, given as such or as text; None if there is none."""
        return next((version for version in self.versions if str(version.number) == str(number)), None)


@dataclass(frozen=True)
class Verdict:
    """Whether a version takes the champion's place, why, and what that rests on."""

    wins: bool
    why: str
    comparison: Comparison | None = None


class Registry(Protocol):
    """What the rule needs of a registry; each call is one step that others may come between."""

    def state(self) -> State:
        """Return what the registry holds now."""

    def tag(self, number: int, tags: Mapping[str, object]) -> None:
        """Set tags of a version."""

    def untag(self, number: int, *keys: str) -> None:
        """Remove those of these tags that a version has."""

    def move_alias(self, number: int) -> None:
        """Let the alias stand at a version."""


Judge = Callable[[Version, Version | None], Verdict]


@dataclass(frozen=True)
class Succession:
    """The champion that the rule names, whom each later version met on the way, and with which verdict."""

    champion: Version | None
    met: Mapping[int, tuple[Version | None, Verdict]]


def succeed(state: State, judge: Judge) -> Succession:
    """Name the champion of what a registry holds."""
    champion = standing(state)
    met: dict[int, tuple[Version | None, Verdict]] = {}
    for version in state.versions:
        if version.rolled_back or not _challenges(version, champion):
            continue
        chosen = Verdict(True, f"chosen on {version.tags[CHOSEN]}") if CHOSEN in version.tags else None
        verdict = chosen or judge(version, champion)
        met[version.number] = champion, verdict
        champion = version if verdict.wins else champion
    return Succession(champion, met)


def standing(state: State) -> Version | None:
    """Return the version that the alias stands at or, if that was rolled back, the one that it was rolled back to."""
    version = state.version(state.alias)
    while version is not None and version.rolled_back:
        version = state.version(version.tags.get(ROLLED_BACK_TO))
    return version


def lost_to(version: Version, champion: Version) -> str:
    """Return what the tag of a version says that has lost to the champion: it need not be judged again."""
    return f"{champion.number}, sure {version.tags.get(SURE)}"


def settle(registry: Registry, judge: Judge) -> tuple[State, Succession]:
    """Bring the alias to where the rule says, and look again until nothing changes; return what stands then.

    The champion before is noted first: whoever is stopped in between leaves an alias that the next one moves.
    """
    while True:
        state = registry.state()
        found = succeed(state, judge)
        _note(registry, state, found)
        if found.champion is None or found.champion.number == state.alias:
            return state, found
        registry.move_alias(found.champion.number)


def chain(state: State, version: Version | None) -> list[Version]:
    """Return the champions before a version, the last one first, as far as they are noted and still there."""
    found = []
    while version is not None and (before := state.version(version.tags.get(BEFORE))) is not None:
        if before.number >= version.number:
            break
        found.append(before)
        version = before
    return found


def previous(state: State) -> Version | None:
    """Return the champion before the one that stands, leaving out those that were rolled back."""
    return next((version for version in chain(state, standing(state)) if not version.rolled_back), None)


def choose(registry: Registry, state: State, target: Version, *, when: str, why: str) -> None:
    """Make a version champion by a person's word, and roll back every later one; `settle` then moves the alias.

    The last write decides: who is stopped before it has changed no champion, and after it the next `settle` goes on.
    """
    champion = standing(state)
    before = [version for version in (champion, *chain(state, champion)) if version and version.number < target.number]
    for version in state.versions:
        if version.number > target.number and not version.rolled_back and version != champion:
            _roll_back(registry, version, target, when, f"later than version {target.number}, which was gone back to")
    registry.untag(target.number, ROLLED_BACK, ROLLED_BACK_TO, ROLLED_BACK_WHY, LOST)
    registry.tag(target.number, ({BEFORE: before[0].number} if before else {}) | {CHOSEN: when})
    if champion is not None and champion.number > target.number:
        _roll_back(registry, champion, target, when, why)


def _roll_back(registry: Registry, version: Version, target: Version, when: str, why: str) -> None:
    registry.tag(version.number, {ROLLED_BACK_TO: target.number, ROLLED_BACK_WHY: why, ROLLED_BACK: when})


def _challenges(version: Version, champion: Version | None) -> bool:
    later = champion is None or version.number > champion.number
    lost = champion is not None and version.tags.get(LOST) == lost_to(version, champion)
    return later and not lost and (HEADLINE in version.tags or CHOSEN in version.tags)


def _note(registry: Registry, state: State, found: Succession) -> None:
    """Write what each version's challenge came to, where it does not say so already; only what was compared is lost."""
    for version in state.versions:
        if version.number not in found.met:
            continue
        champion, verdict = found.met[version.number]
        tags: dict[str, object] = {VERDICT: verdict.why}
        if champion is not None and verdict.wins:
            tags[BEFORE] = champion.number
        elif champion is not None and verdict.comparison is not None:
            tags[LOST] = lost_to(version, champion)
        registry.tag(version.number, {key: own for key, own in tags.items() if version.tags.get(key) != str(own)})
