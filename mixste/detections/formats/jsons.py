"""JSON files, damage named with its place."""

import json
from pathlib import Path
from typing import Any

from mixste.detections.formats.found import RECOPY
from mixste.errors import MixsteError


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; MixsteError names file, line and column where it is damaged or ends too early."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return json.loads(text)
    except json.JSONDecodeError as error:
        ends = not error.doc[error.pos :].strip() or error.msg.startswith("Unterminated string")
        what = "ends too early" if ends else f"is damaged ({error.msg})"
        found = f"text that {what} at line {error.lineno}, column {error.colno} (character {error.pos})"
        raise MixsteError(f"cannot read {path}", found=found, expected="whole JSON", mend=RECOPY) from error
    except UnicodeDecodeError as error:
        found = f"no text at byte {error.start}"
        raise MixsteError(f"cannot read {path}", found=found, expected="JSON in UTF-8", mend=RECOPY) from error
    except (OSError, RecursionError) as error:
        raise MixsteError(f"cannot read {path}", found=str(error), expected="a JSON file") from error
