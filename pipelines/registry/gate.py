"""The gate to the alias: whether a version beats the champion on the same test data, how sure that is, in one sentence.

Versions that keep their errors by clip are compared by a paired bootstrap over the clips. One without them, registered
before they were kept, is compared by its mean, and the sentence says so.
"""

import math
from collections.abc import Callable

from mixste.errors import MixsteError, counted
from mixste.scoring.paired import ClipErrors, Comparison, compare
from pipelines.registry.succession import HEADLINE, SURE, TEST_DATA, Verdict, Version

Errors = Callable[[Version], ClipErrors | None]


def judge(alias: str, errors: Errors, version: Version, champion: Version | None) -> Verdict:
    """Decide whether a version takes the champion's place at the alias; `errors` reads a version's errors by clip."""
    metric, error = version.tags[HEADLINE], _error(version, version.tags[HEADLINE])
    found = f"test {metric.upper().replace('_', '-')} {error:.1f} mm"
    if champion is None:
        return Verdict(True, f"{alias}: the first version, {found}")
    place, best = f"version {champion.number}", _error(champion, metric)
    reason = "" if math.isfinite(best) else f"{place} has no {metric} to compare with"
    if champion.tags.get(TEST_DATA) != version.tags[TEST_DATA]:
        reason = f"{place} was tested on other data"
    if reason:
        return Verdict(False, f"not {alias}: {reason}, so the two cannot be compared")
    try:
        own, others = errors(version), errors(champion)
        if own is None or others is None:
            without = place if others is None else f"version {version.number}"
            return _by_means(alias, found, place, best - error, without)
        return _by_clips(alias, found, place, compare(own, others), float(version.tags[SURE]))
    except MixsteError as other:
        return Verdict(False, f"not {alias}: {found}; {place} cannot be compared with: {other}")


def _error(version: Version, metric: str) -> float:
    try:
        return float(version.tags[f"test_{metric}_mm"])
    except (KeyError, ValueError):
        return math.nan


def _by_means(alias: str, found: str, place: str, lower: float, without: str) -> Verdict:
    wins = lower > 0
    doubt = f"{without} keeps no errors by clip, so that nobody can say how sure that is"
    return Verdict(wins, f"{_now(wins, alias)}: {found} is {_difference(lower)} {place}; {doubt}")


def _by_clips(alias: str, found: str, place: str, comparison: Comparison, sure: float) -> Verdict:
    lower = comparison.lower_mm
    wins = lower > 0 and comparison.sureness >= sure
    if comparison.interval_mm == (0.0, 0.0) and lower == 0:
        return Verdict(False, f"not {alias}: {found}, clip by clip as {place}", comparison)
    low, high = comparison.interval_mm if lower >= 0 else (-comparison.interval_mm[1], -comparison.interval_mm[0])
    clips = f"{comparison.resamples} resamples of {counted(comparison.clips, 'clip')}"
    said = f"95 % interval {low:.1f} to {high:.1f}, better in {100 * comparison.better_in:.1f} % of {clips}"
    if lower > 0 and not wins:
        most = comparison.provable
        said += f", which can show {100 * most:.1f} % at most" if most < min(sure, comparison.better_in) else ""
        said += f"; {100 * sure:.4g} % are asked for"
    return Verdict(wins, f"{_now(wins, alias)}: {found} is {_difference(lower)} {place} ({said})", comparison)


def _now(wins: bool, alias: str) -> str:
    return alias if wins else f"not {alias}"


def _difference(lower: float) -> str:
    return f"{abs(lower):.1f} mm {'lower' if lower > 0 else 'higher'} than that of" if lower else "the same as that of"
