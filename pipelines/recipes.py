"""The trainings that params.yaml asks for, as jobs of the library, and what their models say of the data they saw."""

from pathlib import Path
from typing import Any

from mixste.training.jobs import TrainingJob
from pipelines.params import Params
from pipelines.places import RIG, VIEWS, subject_of, tables


def pretraining_job(params: Params) -> TrainingJob:
    """Every table of the chosen views trains, but those of subjects that are held out."""
    split = params.data.split
    folder = {"random": VIEWS, "rig": RIG}[params.pretrain.views]
    tables_there = sorted(folder.absolute().glob("*.parquet"))
    return TrainingJob(
        model=params.model,
        training=params.pretrain,
        train=tuple(path for path in tables_there if subject_of(path) not in split.held_out),
        validation=tables(folder, split.validation),
        skeleton=params.data.skeleton,
        fps=params.data.fps,
        seed=params.seed,
    )


def finetuning_job(params: Params, *, parent: Path | None) -> TrainingJob:
    """The labelled subjects train; the validation subjects choose the epoch."""
    split = params.data.split
    return TrainingJob(
        model=params.model,
        training=params.finetune,
        train=tables(RIG, split.labels),
        validation=tables(RIG, split.validation),
        skeleton=params.data.skeleton,
        fps=params.data.fps,
        seed=params.seed,
        fraction=split.labels.fraction,
        parent=parent and parent.absolute(),
    )


def data_seen(params: Params, job: TrainingJob) -> dict[str, Any]:
    """Return the name of the data, whether they are synthetic, their licence, and whose 2D it is."""
    data = params.data
    return {
        "data": data.name,
        "synthetic": data.synthetic,
        "licence": data.licence,
        "detections": job.about.detections,
    }
