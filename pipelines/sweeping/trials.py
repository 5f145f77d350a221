"""The trials of a sweep on disk: what was tried, what became of it, and what is next; it survives a kill anywhere.

`runs/sweep/KEY/trials.json` is the list; each trial's training lies beside it in a folder of its own.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mixste.errors import MixsteError
from mixste.files.whole import whole_file
from mixste.training.state import FILE, State, read_state
from pipelines.sweeping.draws import Draws
from pipelines.sweeping.trial import FAILURE

LIVE, TRAINED, STOPPED, FAILED = "live", "trained", "stopped early", "failed"
DONE = (TRAINED, STOPPED)


@dataclass(frozen=True)
class Trial:
    """One choice of values and what became of it; `why` says it of a failed one."""

    number: int
    values: Mapping[str, Any]
    status: str = LIVE
    why: str = ""


class Trials:
    """All trials so far, in order, and the source of the next ones, until there are `limit`."""

    def __init__(self, folder: Path, draws: Draws, *, limit: int, epochs: int) -> None:
        self.folder, self.draws, self.limit, self.epochs = folder, draws, limit, epochs
        self.all = _read(folder / "trials.json")
        self._begun: set[int] = set()

    def next(self) -> Trial | None:
        """The next trial to run: one that a stopped sweep left, or that failed in it, before a new one."""
        left = (
            trial for trial in self.all[: self.limit] if trial.status not in DONE and trial.number not in self._begun
        )
        trial = next(left, None) or self._drawn()
        if trial is not None:
            self._begun.add(trial.number)
            self._put(replace(trial, status=LIVE, why=""))
        return trial

    def end(self, number: int, *, lost: bool = False) -> Trial:
        """Take down what became of a trial, by what its folder says; `lost`: its worker ended again and again."""
        trial, state = self.all[number], self.state(number)
        failure = self.place(number) / FAILURE
        if failure.exists():
            trial = replace(trial, status=FAILED, why=failure.read_text(encoding="utf-8"))
        elif lost or state.epoch == 0:
            trial = replace(trial, status=FAILED, why=f"its worker was lost after epoch {state.epoch}; out of memory?")
        else:
            trial = replace(trial, status=TRAINED if state.epoch >= self.epochs else STOPPED)
        self._put(trial)
        return trial

    def restart(self) -> None:
        """Let the trials that have not ended be next once more."""
        self._begun = {trial.number for trial in self.all if trial.status != LIVE}

    def place(self, number: int) -> Path:
        """The folder of a trial."""
        return self.folder / f"{number:03d}"

    def state(self, number: int) -> State:
        """How far a trial is."""
        folder = self.place(number)
        return read_state(folder) if (folder / FILE).exists() else State()

    @property
    def done(self) -> list[Trial]:
        """Trials that have a result."""
        return [trial for trial in self.all if trial.status in DONE]

    def _drawn(self) -> Trial | None:
        number = len(self.all)
        if number >= self.limit:
            return None
        ended = [(trial.values, self._error(trial)) for trial in self.all if trial.status != LIVE]
        values = self.draws.next(number, ended, [trial.values for trial in self.all if trial.status == LIVE])
        return None if values is None else Trial(number, values)

    def _error(self, trial: Trial) -> float | None:
        return self.state(trial.number).kept_score if trial.status in DONE else None

    def _put(self, trial: Trial) -> None:
        self.all = [*self.all[: trial.number], trial, *self.all[trial.number + 1 :]]
        with whole_file(self.folder / "trials.json") as partial:
            partial.write_text(json.dumps([asdict(one) for one in self.all], indent=1) + "\n", encoding="utf-8")


def _read(path: Path) -> list[Trial]:
    try:
        return [Trial(**values) for values in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise MixsteError(
            f"cannot read {path}", found=str(error), expected="the sweep's list of trials", mend="delete its folder"
        ) from error
