"""What a sweep tries next: a function of the seed, the trial's number and what earlier trials gave, of nothing else.

So a sweep that is started again draws what it would have drawn.
"""

from collections.abc import Iterator, Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from mixste.seeds import mixed
from pipelines.settings import SweptKey
from pipelines.sweeping.space import Space, Values

ATTEMPTS = 1000
STARTUP = 5  # random trials, before TPE models what the good ones have in common
optuna.logging.set_verbosity(optuna.logging.WARNING)


class Draws:
    """Draws values that fit together and were not tried yet."""

    def __init__(self, space: Space, searcher: str, seed: int) -> None:
        self.space, self.searcher, self.seed = space, searcher, seed

    def next(
        self, number: int, ended: Sequence[tuple[Values, float | None]], live: Sequence[Values] = ()
    ) -> Values | None:
        """Values of trial `number`; None if nothing is left. Trials that ended have a validation error, if not failed.

        TPE's suggestion may not fit or be known: then it is a random one, as many times as it takes.
        """
        tried = [*(values for values, _ in ended), *live]
        candidates = self.space.grid() if self.searcher == "grid" else self._candidates(number, ended)
        return next((values for values in candidates if values not in tried and self.space.fits(values)), None)

    def _candidates(self, number: int, ended: Sequence[tuple[Values, float | None]]) -> Iterator[Values]:
        if self.searcher == "optuna":
            yield self._suggested(number, [(values, error) for values, error in ended if error is not None])
        for attempt in range(ATTEMPTS):
            yield self.space.draw(self.seed, number, attempt)

    def _suggested(self, number: int, results: Sequence[tuple[Values, float]]) -> Values:
        distributions = {swept.key: self._distribution(swept) for swept in self.space.keys}
        sampler = optuna.samplers.TPESampler(seed=mixed(self.seed, number) % 2**32, n_startup_trials=STARTUP)
        study = optuna.create_study(sampler=sampler)
        for values, error in results:
            known = {swept.key: _told(swept, values[swept.key]) for swept in self.space.keys}
            study.add_trial(optuna.create_trial(params=known, distributions=distributions, value=error))
        asked = study.ask(distributions).params
        return {swept.key: self._used(swept, asked[swept.key]) for swept in self.space.keys}

    def _distribution(self, swept: SweptKey) -> BaseDistribution:
        if swept.range is None:  # by place, because a choice may be of any type
            return CategoricalDistribution(range(len(swept.choices or ())))
        low, high = swept.range
        if swept.key in self.space.whole:
            return IntDistribution(int(low), int(high), log=True)
        return FloatDistribution(low, high, log=True)

    def _used(self, swept: SweptKey, asked: float) -> object:
        return swept.choices[int(asked)] if swept.choices else self.space.rounded(swept, asked)


def _told(swept: SweptKey, value: object) -> object:
    return swept.choices.index(value) if swept.choices else value
