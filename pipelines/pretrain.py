"""Pre-train: recover 3D from corrupted 2D, or the 2D that masks hide. datasets/projections -> models/pretrained."""

from mixste.training.jobs import TrainingJob
from pipelines.params import Params, load
from pipelines.places import MODELS, PROJECTIONS, RIG, VIEWS, subject_of, tables
from pipelines.stage import run
from pipelines.training import train


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


def main() -> None:
    """Run the stage."""
    params = load()
    train("pretrain", pretraining_job(params), params, MODELS["pretrained"], parent=PROJECTIONS)


if __name__ == "__main__":
    run(main)
