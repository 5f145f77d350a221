"""The one exception family: every error a user can cause."""

from typing import Any


class MixsteError(Exception):
    """What was tried, what was found, what was expected and how to mend it.

    Every part but the first is optional; the message is one sentence a part.
    """

    def __init__(self, what: str, *, found: object = None, expected: object = None, mend: str | None = None) -> None:
        parts = [what.rstrip(".")]
        if found is not None:
            parts.append(f"found: {found}")
        if expected is not None:
            parts.append(f"expected: {expected}")
        if mend is not None:
            parts.append(f"to mend it: {mend}")
        super().__init__("; ".join(parts))

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process would hand the finished message to __init__, which makes messages from parts.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[MixsteError], args: tuple[Any, ...], state: dict[str, Any]) -> MixsteError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error
