"""The one exception family: every error a user can cause."""

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
_SAYS = {"what": "", "found": "found: ", "expected": "expected: ", "mend": "to mend it: "}


class MixsteError(Exception):
    """What was tried, what was found, what was expected and how to mend it.

    Every part but the first is optional; the message is one sentence a part. `parts` has those given by name, as text
    that may be printed.
    """

    def __init__(self, what: str, *, found: object = None, expected: object = None, mend: str | None = None) -> None:
        given = {"what": what.rstrip("."), "found": found, "expected": expected, "mend": mend}
        self.parts = {name: shown(part) for name, part in given.items() if part is not None}
        super().__init__("; ".join(_SAYS[name] + part for name, part in self.parts.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process would hand the finished message to __init__, which makes messages from parts.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[MixsteError], args: tuple[Any, ...], state: dict[str, Any]) -> MixsteError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def counted(number: float, noun: str) -> str:
    """Return a number with its noun in singular or plural: `1 person`, `2 people`."""
    several = "people" if noun == "person" else f"{noun}s"
    amount = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{amount} {noun if number == 1 else several}"


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return ` (did you mean ...?)` with the known name that is most like this one, or nothing if none is."""
    return "".join(f" (did you mean {near}?)" for near in get_close_matches(name, known, n=1))


def shown(text: object) -> str:
    """Return a text as it may be printed: the URIs in it without user and password."""
    return _USERINFO.sub("", str(text))
