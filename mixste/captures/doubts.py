"""Whether people are as the description of their source makes them: what cannot be is refused, what is odd warned of.

A person may be a child, so a subject is judged by all of its files.
"""

from collections.abc import Iterator, Sequence

from mixste.captures.people import ADULT_LEGS, LEGS, MIDDLE_LEGS, Figure, legs_of
from mixste.captures.source import Source
from mixste.errors import MixsteError


def described(figures: Sequence[Figure]) -> dict[str, float | None]:
    """Return how long a subject's legs are, metres; None: not known."""
    legs = legs_of(figures)
    return {"legs": None if legs is None else round(legs, 3)}


def doubts(source: Source, subject: str, figures: Sequence[Figure]) -> Iterator[MixsteError]:
    """Yield what is odd of one subject of a source, and what would mend it if it is a mistake."""
    legs = legs_of(figures)
    if legs is not None and not ADULT_LEGS[0] <= legs <= ADULT_LEGS[1]:
        yield MixsteError(
            f"{source.name}-{subject} has not an adult's legs",
            found=_length(legs),
            expected=_range(ADULT_LEGS),
            mend=f"if this is an adult, {_fitting(source, legs)}",
        )


def check_unit(source: Source, figure: Figure, path: object) -> None:
    """Refuse a unit in which legs are longer or shorter than anyone's."""
    if figure.legs is not None and not LEGS[0] <= figure.legs <= LEGS[1]:
        raise MixsteError(
            f"the unit of source {source.name} is wrong",
            found=f"{_length(figure.legs)} in {path}",
            expected=f"{_range(LEGS)} for a person",
            mend=_fitting(source, figure.legs),
        )


def _length(legs: float) -> str:
    return f"{legs:.2f} m from hip over knee to ankle"


def _range(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g} to {limits[1]:g} m"


def _fitting(source: Source, legs: float) -> str:
    """Say which unit would make this a middling adult."""
    unit = source.metres_per_unit
    return f"correct metres_per_unit, now {unit:.4g}: about {unit * MIDDLE_LEGS / legs:.2g} makes {MIDDLE_LEGS:g} m"
