"""Pre-train: recover 3D from corrupted 2D, or the 2D that masks hide. datasets/projections -> models/pretrained."""

from pipelines.params import load
from pipelines.places import MODELS, PROJECTIONS
from pipelines.process.stage import run
from pipelines.recipes import pretraining_job
from pipelines.training import train


def main() -> None:
    """Run the stage."""
    params = load()
    train("pretrain", pretraining_job(params), params, MODELS["pretrained"], parent=PROJECTIONS)


if __name__ == "__main__":
    run(main)
