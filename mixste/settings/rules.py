"""Settings that check themselves: a rule beside each field, every broken rule reported by its key at once."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from mixste.errors import MixsteError


@dataclass(frozen=True)
class Rule:
    """What a value must be, in words and as a test; used as `Annotated[int, Rule(...)]`."""

    text: str
    holds: Callable[[Any], bool]


def at_least(low: float) -> Rule:
    """Allow `low` and everything above it."""
    return Rule(f"{low} or more", lambda value: value >= low)


def between(low: float, high: float) -> Rule:
    """Allow `low`, `high` and everything between them."""
    return Rule(f"between {low} and {high}", lambda value: low <= value <= high)


def one_of(*names: str) -> Rule:
    """Allow these names only."""
    return Rule("one of " + ", ".join(names), lambda value: value in names)


def each(rule: Rule) -> Rule:
    """Hold every item of a sequence to a rule."""
    return Rule(f"each {rule.text}", lambda values: all(rule.holds(value) for value in values))


ABOVE_ZERO = Rule("above 0", lambda value: value > 0)
BELOW_ONE = Rule("0 or more and below 1", lambda value: 0 <= value < 1)
ODD = Rule("an odd number, 1 or more", lambda value: value >= 1 and value % 2 == 1)
FRACTION = Rule("above 0 and at most 1", lambda value: 0 < value <= 1)
SHARE = between(0, 1)
NOT_EMPTY = Rule("not empty", lambda value: len(value) > 0)
NO_REPEATS = Rule("every one once", lambda values: len(set(values)) == len(values))
ASCENDING_RANGE = Rule("two numbers above 0, the smaller first", lambda v: len(v) == 2 and 0 < v[0] <= v[1])

Count = Annotated[int, at_least(1)]
Positive = Annotated[float, ABOVE_ZERO]
NotNegative = Annotated[float, at_least(0)]
BelowOne = Annotated[float, BELOW_ONE]
Share = Annotated[float, SHARE]
Fraction = Annotated[float, FRACTION]
Range = Annotated[tuple[float, ...], ASCENDING_RANGE]


@dataclass(frozen=True)
class Problem:
    """One refused setting: its dotted key, what was found there and what may stand there."""

    key: str
    found: object
    expected: str

    def under(self, parent: str) -> "Problem":
        """Return the same problem with its key below `parent`."""
        return Problem(f"{parent}.{self.key}" if self.key else parent, self.found, self.expected)

    def __str__(self) -> str:
        return f"{self.key}: found {self.found!r}, expected {self.expected}"


class SettingsError(MixsteError):
    """Every refused setting in one message."""

    def __init__(self, problems: Collection[Problem], where: str = "the settings") -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{where} cannot be used:{lines}")


class Settings:
    """Base of the frozen settings dataclasses: checks the rules of its fields when it is made."""

    def __post_init__(self) -> None:
        problems = [*self._broken_rules()]
        if not problems:
            problems = [*self.problems()]
        if problems:
            raise SettingsError(problems)

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong between fields; called only when each field by itself is right."""
        yield from ()

    def _broken_rules(self) -> Iterator[Problem]:
        own: Any = type(self)  # mypy takes no class for hashable
        for key, rule in _rules(own):
            value = getattr(self, key)
            if value is not None and not rule.holds(value):
                yield Problem(key, value, rule.text)


@cache
def hints(cls: Any) -> dict[str, Any]:
    """Return the types of a class's fields with their rules, by name."""
    return get_type_hints(cls, include_extras=True)


@cache
def _rules(cls: Any) -> tuple[tuple[str, Rule], ...]:
    return tuple((field.name, rule) for field in fields(cls) for rule in _found(hints(cls)[field.name]))


def _found(hint: Any) -> Iterator[Rule]:
    if get_origin(hint) is Union or type(hint).__name__ == "UnionType":
        for option in get_args(hint):
            yield from _found(option)
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, Rule):
            yield extra
