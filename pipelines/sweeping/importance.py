"""How much each swept setting mattered: the share of the error's variance that lies between its values."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from pipelines.settings import SweptKey

Groups = list[tuple[str, list[float]]]


@dataclass(frozen=True)
class Importance:
    """Of one setting: its share of the variance, the share that chance alone gives on average, and means by value."""

    key: str
    share: float
    chance: float
    means: list[tuple[str, float]]


def importance(swept: SweptKey, values: Sequence[Any], errors: Sequence[float]) -> Importance:
    """Group the trials' errors by their values of one key (those of a range by thirds) and compare the groups.

    The share is eta squared, the sum of squares between the groups over that of all; without any effect it is
    (groups - 1) / (trials - 1) on average. Keys that happened to vary together get what they explain together.
    """
    groups = _by_choice(swept.choices, values, errors) if swept.choices else _by_third(values, errors)
    centre = mean(errors)
    total = sum((error - centre) ** 2 for error in errors)
    between = sum(len(own) * (mean(own) - centre) ** 2 for _, own in groups)
    return Importance(
        swept.key,
        share=between / total if total else 0.0,
        chance=(len(groups) - 1) / max(len(errors) - 1, 1),
        means=[(name, mean(own)) for name, own in groups],
    )


def _by_choice(choices: Sequence[Any], values: Sequence[Any], errors: Sequence[float]) -> Groups:
    groups = [(str(choice), [e for v, e in zip(values, errors, strict=True) if v == choice]) for choice in choices]
    return [(name, own) for name, own in groups if own]


def _by_third(values: Sequence[float], errors: Sequence[float]) -> Groups:
    ordered = sorted(zip(values, errors, strict=True))
    size = -(-len(ordered) // 3)
    thirds = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [(f"{third[0][0]:g} to {third[-1][0]:g}", [error for _, error in third]) for third in thirds]
