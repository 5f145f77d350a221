"""Whether people are as the description of their source makes them: what cannot be is refused, what is odd warned of.

A person may lie, turn a cartwheel or be a child, so a source and a subject are judged by all of their files.
"""

from collections.abc import Iterator, Mapping, Sequence

from mixste.captures.people import ADULT_LEGS, LEGS, MIDDLE_LEGS, Figure, legs_of, trunk_of
from mixste.captures.source import UPRIGHT, Source
from mixste.errors import MixsteError

SELDOM = 0.5  # a subject whose trunk points up in fewer frames is warned of; CMU's acrobats are at 0.87 and more
MOSTLY = 0.75  # a source whose trunks point along another axis in more frames is refused
FAST = 0.1  # a source in which joints are too fast in more of its files, and in three or more, is warned of; CMU: 0.04


def described(source: Source, figures: Sequence[Figure]) -> dict[str, float | None]:
    """Return how long a subject's legs are, metres, and in what share of frames it is upright; None: not known."""
    legs, shares = legs_of(figures), trunk_of(figures)
    return {
        "legs": None if legs is None else round(legs, 3),
        "upright": round(shares[source.up], 3) if shares else None,
    }


def check_axis(source: Source, figures: Sequence[Figure]) -> None:
    """Refuse a source in which nearly all trunks point along one axis that is not the vertical one."""
    shares = trunk_of(figures)
    if not source.upright or not shares:
        return
    axis = _other(source, shares)
    if shares[axis] > MOSTLY:
        raise MixsteError(
            f"the vertical axis of source {source.name} is wrong",
            found=_directions(source, shares),
            expected="people who are upright in most frames",
            mend=f"{_turned(axis)}; or set upright: false for the source if they really lie or crawl",
        )


def doubts(source: Source, subject: str, figures: Sequence[Figure]) -> Iterator[MixsteError]:
    """Yield what is odd of one subject of a source, and what would mend it if it is a mistake."""
    shares, legs = trunk_of(figures), legs_of(figures)
    if source.upright and shares and shares[source.up] < SELDOM:
        yield MixsteError(
            f"{source.name}-{subject} is seldom upright",
            found=_directions(source, shares),
            expected=f"along {source.up} in {SELDOM:.0%} or more, unless they lie or crawl",
            mend=f"if {source.up} is not vertical in these files, {_turned(_other(source, shares))} for them",
        )
    if legs is not None and not ADULT_LEGS[0] <= legs <= ADULT_LEGS[1]:
        yield MixsteError(
            f"{source.name}-{subject} has not an adult's legs",
            found=_length(legs),
            expected=_range(ADULT_LEGS),
            mend=f"if this is an adult, {_fitting(source, legs)}",
        )


def doubt_rate(source: Source, fast: int, files: int) -> Iterator[MixsteError]:
    """Yield that the frame rate may be too high if in `fast` of a source's files a joint is too fast."""
    if fast > max(2, FAST * files):
        yield MixsteError(
            f"joints of source {source.name} are often too fast",
            found=f"{fast} of {files} files with one faster than max_speed",
            expected=f"two, or {FAST:.0%} of files, at most",
            mend=f"correct the frame rate, {rate_of(source)}, if it is too high",
        )


def rate_of(source: Source, fps: float | None = None) -> str:
    """Say which frame rate a source's files are read at, and who says so; `fps` is one file's."""
    if source.fps:
        return f"fps of source {source.name}, now {source.fps:g}"
    return f"{fps:g} fps in the file" if fps else "that in the files"


def check_unit(source: Source, figure: Figure, path: object) -> None:
    """Refuse a unit in which legs are longer or shorter than anyone's."""
    if figure.legs is not None and not LEGS[0] <= figure.legs <= LEGS[1]:
        raise MixsteError(
            f"the unit of source {source.name} is wrong",
            found=f"{_length(figure.legs)} in {path}",
            expected=f"{_range(LEGS)} for a person",
            mend=_fitting(source, figure.legs),
        )


def _directions(source: Source, shares: Mapping[str, float]) -> str:
    """Say how often trunks point along the vertical axis, and along another."""
    axis = _other(source, shares)
    vertical = f"hips to shoulders along {source.up}, which is called up, in {shares[source.up]:.0%} of frames"
    return f"{vertical}, along {axis} in {shares[axis]:.0%}"


def _other(source: Source, shares: Mapping[str, float]) -> str:
    """Return the axis along which trunks point most often, but for the vertical one."""
    return next(axis for axis in shares if axis != source.up)


def _turned(axis: str) -> str:
    return f"set up: {axis}" if axis in UPRIGHT else f"turn the files so that people stand along {' or '.join(UPRIGHT)}"


def _length(legs: float) -> str:
    return f"{legs:.2f} m from hip over knee to ankle"


def _range(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g} to {limits[1]:g} m"


def _fitting(source: Source, legs: float) -> str:
    """Say which unit would make this a middling adult."""
    unit = source.metres_per_unit
    return f"correct metres_per_unit, now {unit:.4g}: about {unit * MIDDLE_LEGS / legs:.2g} makes {MIDDLE_LEGS:g} m"
