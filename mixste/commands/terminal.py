"""What all subcommands share: saying something, and describing themselves and their options."""

import argparse
import math
import sys
from collections.abc import Callable
from typing import Any


def say(*lines: str) -> None:
    """Write lines to standard output."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def complain(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{text}\n")


def progress(doing: str) -> Callable[[int, int], None] | None:
    """Return what shows on a terminal how much is done, and of how much; None where nobody looks."""
    if not sys.stderr.isatty():
        return None

    def tell(done: int, total: int) -> None:
        sys.stderr.write(f"\r{doing}: {done / total:4.0%}" + ("\n" if done >= total else ""))

    return tell


def command(commands: Any, name: str, text: str, more: str, *examples: str) -> argparse.ArgumentParser:
    """Add a subcommand: what it does in a line, what else to know, and examples."""
    shown = "".join(f"\n  {example}" for example in examples)
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.{more and ' ' + more}",
        epilog=f"examples:{shown}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def whole(text: str) -> int:
    """Return a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def positive(text: str) -> float:
    """Return a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def size(text: str) -> tuple[int, int]:
    """Return width and height of WxH."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text} is not WIDTHxHEIGHT in pixels, as 1920x1080")
    return int(parts[0]), int(parts[1])


def layouts(**_: object) -> list[str]:
    """Return the known layouts of keypoints, for completion in a shell."""
    from mixste.skeleton import known_skeletons

    return known_skeletons()
