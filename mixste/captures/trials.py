"""Which capture files there are, and whose they are: from a CSV, or from their paths."""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mixste.errors import MixsteError

COLUMNS = ("trial", "subject", "action")
FRAMES = "frames"


@dataclass(frozen=True)
class Trial:
    """One capture file, named as the file without its ending, with its subject and action.

    `frames` is how many the table of trials says it has, None if it does not say.
    """

    path: Path
    name: str
    subject: str
    action: str
    frames: int | None = None


def find_trials(folder: Path, files: str, table: Path | None = None) -> list[Trial]:
    """Return the trials of the files below `folder` that match the glob `files`, by subject and name.

    Subject and action come from the CSV `table`, by the file's name; without one the subject is the file's folder, the
    action its name up to the first digit or underscore. MixsteError if there is no file, or one without its row.
    """
    if not folder.is_dir():
        raise MixsteError(
            f"no folder {folder}", found="nothing there", mend="put the captures there, or set data.folder"
        )
    paths = sorted(path for path in folder.glob(files) if path.is_file())
    if not paths:
        raise MixsteError(
            f"no file matches {files} in {folder}", expected="one at least", mend="correct files of the source"
        )
    trials = [_from_path(path) for path in paths] if table is None else _from_table(paths, table)
    _check(trials)
    return sorted(trials, key=lambda trial: (trial.subject, trial.name))


def read_table(table: Path) -> dict[str, tuple[str, str, int | None]]:
    """Return {trial: (subject, action, frames)} of a CSV; `frames` is None without such a column or in an empty cell.

    MixsteError if it lacks another column, names a trial twice, or says frames that are no number.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            rows = [] if missing else [[(row.get(name) or "").strip() for name in (*COLUMNS, FRAMES)] for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MixsteError(
            f"cannot read {table}", found=error, expected="a CSV of trials", mend="set data.trials"
        ) from error
    if missing:
        raise MixsteError(f"cannot use {table}", found=f"no column {', '.join(missing)}", expected=", ".join(COLUMNS))
    for number, row in enumerate(rows):
        if not all(row[: len(COLUMNS)]):
            raise MixsteError(
                f"cannot use {table}", found=f"an empty cell in row {number + 1}", expected=", ".join(COLUMNS)
            )
    _unique((row[0] for row in rows), f"trials in {table}")
    return {trial: (subject, action, _frames(text, trial, table)) for trial, subject, action, text in rows}


def _frames(text: str, trial: str, table: Path) -> int | None:
    if text and not (text.isascii() and text.isdigit()):
        found = f"frames {text} of trial {trial}"
        raise MixsteError(f"cannot use {table}", found=found, expected="a whole number, or an empty cell")
    return int(text) if text else None


def _from_path(path: Path) -> Trial:
    action = re.split(r"[\d_]", path.stem)[0].rstrip("-. ") or path.stem
    return Trial(path, path.stem, path.parent.name, action)


def _from_table(paths: list[Path], table: Path) -> list[Trial]:
    rows = read_table(table)
    missing = [path.name for path in paths if path.stem not in rows]
    if missing:
        found = f"no row for {', '.join(missing[:5])}" + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise MixsteError(f"cannot use {table}", found=found, expected="a row for every file", mend="add the rows")
    return [Trial(path, path.stem, *rows[path.stem]) for path in paths]


def _check(trials: list[Trial]) -> None:
    for trial in trials:
        if not re.fullmatch(r"[\w.+-]+", trial.subject):
            expected = "letters, digits, or any of _ . + - (it becomes a file's name)"
            raise MixsteError(f"subject of {trial.path} has no usable name", found=trial.subject, expected=expected)
    _unique((f"{trial.subject}/{trial.name}" for trial in trials), "trials of one source")


def _unique(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise MixsteError(f"two {what} have one name", found=name, expected="every name once", mend="rename one")
        seen.add(name)
