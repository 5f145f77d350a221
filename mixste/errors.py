"""The one exception family: every error a user can cause."""


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
