"""Pre-train: recover 3D from masked, noised 2D of random views. datasets/projections/random -> models/pretrained."""

from pathlib import Path

from mixste.jobs import TrainingJob
from pipelines.params import Params, load
from pipelines.stage import run
from pipelines.training import tables, train

VIEWS = Path("datasets/projections/random")
OUTPUT = Path("models/pretrained")


def pretraining_job(params: Params, *, views: Path = VIEWS) -> TrainingJob:
    """Every table of random views trains, but the validation and the test subjects'."""
    split = params.data.split
    validation = tables(str(views), [split.validation])
    held_out = {*split.validation.subjects, *split.test.subjects}
    training = tuple(
        path for path in sorted(views.absolute().glob("*.parquet")) if path.stem.split("-", 1)[1] not in held_out
    )
    return TrainingJob(
        model=params.model,
        training=params.pretrain,
        train=training,
        validation=validation,
        skeleton=params.data.skeleton,
        fps=params.data.fps,
        seed=params.seed,
    )


def main() -> None:
    """Run the stage."""
    params = load()
    train("pretrain", pretraining_job(params), params, OUTPUT, parent="project")


if __name__ == "__main__":
    run(main)
