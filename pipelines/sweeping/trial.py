"""What runs in a worker for one trial of a sweep: pre-train if asked to, train, report every epoch; it can go on."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mixste.errors import MixsteError
from mixste.files.whole import whole_file
from mixste.machine.memory import keep_freed
from mixste.recipe import Execution
from mixste.training.jobs import TrainingJob, write_model
from mixste.training.state import FILE, restore_training, save_training
from pipelines.process.locks import in_turn

FAILURE = "failure.txt"
_SECONDS = "seconds.json"
Report = Callable[[dict[str, float]], object]


@dataclass(frozen=True)
class Work:
    """The trainings of a trial, and where they live: absolute paths, because a worker has a folder of its own.

    Trials that pre-train alike share `pretrained`; `provenance` is what the pre-trained model says of its data.
    `execution` is how steps are carried out.
    """

    folder: Path
    tuning: TrainingJob
    pretraining: TrainingJob | None
    pretrained: Path
    provenance: dict[str, Any]
    threads: int
    gpu: bool
    execution: Execution


def run_trial(config: dict[str, Any]) -> None:
    """Run `config["work"]` under Ray Tune. A MixsteError ends the trial; after any other error Ray tries again."""
    from ray import tune

    work: Work = config["work"]
    failure = work.folder / FAILURE
    failure.unlink(missing_ok=True)
    try:
        train_trial(work, tune.report)
    except Exception as error:
        with whole_file(failure) as partial:
            partial.write_text(str(error) if isinstance(error, MixsteError) else repr(error), encoding="utf-8")
        if not isinstance(error, MixsteError):
            raise


def train_trial(work: Work, report: Report) -> None:
    """Train, or go on; `report` gets the record of each epoch, on going on that of the last one once more."""
    torch.set_num_threads(work.threads)
    tuning = work.tuning
    if work.pretraining is not None:
        with in_turn(work.pretrained):  # another trial may pre-train alike
            if not (work.pretrained / "model").exists():
                _train(work, work.pretraining, work.pretrained, lambda record: None)
                write_model(work.pretrained / "model", work.pretrained, work.pretraining, work.provenance)
        tuning = replace(tuning, parent=work.pretrained / "model")
    with in_turn(work.folder):  # a worker whose driver was killed may be in there
        _train(work, tuning, work.folder, report)


def seconds(folder: Path) -> float:
    """How long the epochs of a training took together."""
    try:
        return float(sum(json.loads((folder / _SECONDS).read_text(encoding="utf-8")).values()))
    except (OSError, ValueError):
        return 0.0


def _train(work: Work, job: TrainingJob, folder: Path, report: Report) -> None:
    keep_freed()
    trainer = job.trainer(device=torch.device("cuda" if work.gpu else "cpu"), execution=work.execution)
    if (folder / FILE).exists():
        restore_training(folder, trainer)
        report(dict(trainer.state.history[-1]))
    for record in trainer.epochs():
        save_training(folder, trainer)
        _note_seconds(folder, record)
        report(record)


def _note_seconds(folder: Path, record: dict[str, float]) -> None:
    path = folder / _SECONDS
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    with whole_file(path) as partial:
        partial.write_text(json.dumps({**known, f"{record['epoch']:.0f}": record["seconds"]}), encoding="utf-8")
