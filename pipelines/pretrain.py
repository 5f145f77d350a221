"""Pre-train: recover 3D from masked, noised 2D of random views. datasets/projections/random -> models/pretrained."""

from mixste.jobs import TrainingJob
from pipelines.params import Params, load
from pipelines.places import MODELS, VIEWS, subject_of, tables
from pipelines.stage import run
from pipelines.training import train


def pretraining_job(params: Params) -> TrainingJob:
    """Every table of random views trains, but the validation and the test subjects'."""
    split = params.data.split
    views = sorted(VIEWS.absolute().glob("*.parquet"))
    return TrainingJob(
        model=params.model,
        training=params.pretrain,
        train=tuple(path for path in views if subject_of(path) not in split.held_out),
        validation=tables(VIEWS, split.validation),
        skeleton=params.data.skeleton,
        fps=params.data.fps,
        seed=params.seed,
    )


def main() -> None:
    """Run the stage."""
    params = load()
    train("pretrain", pretraining_job(params), params, MODELS["pretrained"], parent="project")


if __name__ == "__main__":
    run(main)
