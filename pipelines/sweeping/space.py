"""What a sweep may try: keys of params.yaml and their values, every combination checked by the typed settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from itertools import product
from random import Random
from typing import Any

from mixste.errors import MixsteError
from mixste.seeds import mixed
from mixste.settings.rules import SettingsError
from mixste.settings.typed import build, flatten
from pipelines.params import Params
from pipelines.settings import SweptKey

Values = Mapping[str, Any]
ATTEMPTS = 200
_SECTIONS = {"scratch": ("model", "finetune"), "finetune": ("model", "pretrain", "finetune")}
_ALIKE = ("finetune.epochs", "finetune.validation_windows", "finetune.keep")


class Space:
    """The swept keys of `params.sweep` on top of all other settings; MixsteError names a key or value that cannot be.

    Values are dictionaries of dotted keys.
    """

    def __init__(self, params: Params) -> None:
        self.keys = params.sweep.space
        self._tree = {**asdict(params), "study": None}
        known = flatten({name: self._tree[name] for name in _SECTIONS[params.sweep.train]})
        for swept in self.keys:
            _refuse_key(swept.key, params.sweep.train, known)
        self.whole = frozenset(swept.key for swept in self.keys if type(known.get(swept.key)) is int)
        self._refuse_values(params.seed)

    def params(self, values: Values) -> Params:
        """All settings of one trial; raises SettingsError for values that do not fit together."""
        tree = self._tree
        for key, value in values.items():
            tree = _changed(tree, key.split("."), value)
        return build(Params, tree, " ".join(f"{key}={value}" for key, value in values.items()))

    def fits(self, values: Values) -> bool:
        """Whether the settings accept these values together."""
        return self.problem(values) is None

    def problem(self, values: Values) -> str | None:
        """Why the settings refuse these values; None if they do not."""
        try:
            self.params(values)
        except SettingsError as error:
            return "; ".join(map(str, error.problems))
        return None

    def draw(self, *seed: object) -> dict[str, Any]:
        """Values drawn from a seed, which may not fit."""
        generator = Random(mixed(*seed))  # noqa: S311  (no secret)
        return {swept.key: self._drawn(swept, generator) for swept in self.keys}

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every combination of choices that fits, the last key's choice changing first; ranges have no grid."""
        names = [swept.key for swept in self.keys]
        for combination in product(*(swept.choices or () for swept in self.keys)):
            values = dict(zip(names, combination, strict=True))
            if self.fits(values):
                yield values

    def rounded(self, swept: SweptKey, number: float) -> float:
        """A number of a range as it is used and written: whole where the setting is, else three significant digits."""
        low, high = swept.range or (number, number)
        if swept.key in self.whole:
            return int(min(max(round(number), low), high))
        return min(max(float(f"{number:.3g}"), low), high)

    def _drawn(self, swept: SweptKey, generator: Random) -> Any:
        if swept.choices is not None:
            return swept.choices[generator.randrange(len(swept.choices))]
        low, high = swept.range or ()
        return self.rounded(swept, low * (high / low) ** generator.random())

    def _refuse_values(self, seed: int) -> None:
        """Every choice, and both ends of every range, must fit some of many draws of all else."""
        draws = [self.draw(seed, "check", number) for number in range(ATTEMPTS)]
        fitting = [draw for draw in draws if self.fits(draw)]
        if not fitting:
            raise MixsteError(
                "no settings of the sweep fit together",
                found=self.problem(draws[0]),
                expected=f"one of {ATTEMPTS} random combinations that the settings accept",
                mend="change sweep.space",
            )
        for swept in self.keys:
            for value in swept.choices or (self.rounded(swept, end) for end in swept.range or ()):
                if not any(self.fits({**draw, swept.key: value}) for draw in (*fitting, *draws)):
                    raise MixsteError(
                        f"{swept.key}={value} fits nothing else of the sweep",
                        found=self.problem({**fitting[0], swept.key: value}),
                        mend="take it out of sweep.space, or add what it fits",
                    )


def _refuse_key(key: str, train: str, known: Values) -> None:
    if key in known and key not in _ALIKE:
        return
    near = get_close_matches(key, [name for name in known if name not in _ALIKE], n=1)
    mend = f"did you mean {near[0]}?" if near else None
    if key in _ALIKE:
        expected, mend = "the same for every trial, which are compared by it", "take it out of sweep.space"
    elif train == "scratch" and key.startswith("pretrain."):
        expected, mend = "a key of model or finetune: nothing is pre-trained", "take sweep.train=finetune"
    else:
        parent = next((name for name, value in known.items() if value is None and key.startswith(f"{name}.")), None)
        sections = " or ".join(_SECTIONS[train])
        expected = f"a value of {sections}" + (f"; {parent} is null" if parent else "")
    raise MixsteError(f"{key} cannot be swept", found="sweep.space", expected=expected, mend=mend)


def _changed(tree: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    name, *rest = path
    return {**tree, name: _changed(tree[name], rest, value) if rest else value}
