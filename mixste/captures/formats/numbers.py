"""Text files of many numbers, read in bulk."""

import re
import warnings
from pathlib import Path

import numpy as np

from mixste.errors import MixsteError


def read_text(path: Path) -> str:
    """Return a text file with plain line ends; a missing, empty or binary file is refused."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise MixsteError(
            f"cannot read {path}", found=error.strerror, mend="check the path and its permissions"
        ) from error
    if not text.strip() or "\0" in text:
        found = "nothing in it" if not text.strip() else "binary data"
        raise MixsteError(f"cannot read {path}", found=found, expected="a text file", mend="copy or export it again")
    return text


def parse_numbers(text: str) -> np.ndarray:
    """Return all numbers of a text (n) float64, whatever white space parts them; NaN and infinity are numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        try:
            return np.fromstring(text, dtype=np.float64, sep=" ") if text.strip() else np.empty(0)
        except (DeprecationWarning, ValueError) as error:
            raise MixsteError("expected numbers only", found=_first_word(text), expected="a number") from error


def _first_word(text: str) -> str:
    for word in re.finditer(r"\S+", text):
        try:
            float(word[0])
        except ValueError:
            return f"{word[0][:40]!r} in line {text.count(chr(10), 0, word.start()) + 1} of the numbers"
    return "an unreadable number"
