"""Train on labelled detections, from scratch or from the pre-trained weights: two stages, one budget.

datasets/projections/rig (and models/pretrained) -> models/scratch, models/finetuned.
"""

import argparse
from pathlib import Path

from mixste.jobs import TrainingJob
from pipelines.params import Params, load
from pipelines.pretrain import OUTPUT as PRETRAINED
from pipelines.stage import run
from pipelines.training import tables, train

RIG = Path("datasets/projections/rig")
OUTPUTS = {"scratch": Path("models/scratch"), "pretrained": Path("models/finetuned")}


def finetuning_job(params: Params, *, parent: Path | None, rig: Path = RIG) -> TrainingJob:
    """The labelled subjects train; the validation subjects choose the epoch."""
    split = params.data.split
    return TrainingJob(
        model=params.model,
        training=params.finetune,
        train=tables(str(rig), [split.labels]),
        validation=tables(str(rig), [split.validation]),
        skeleton=params.data.skeleton,
        fps=params.data.fps,
        seed=params.seed,
        fraction=split.labels.fraction,
        parent=parent and parent.absolute(),
    )


def main() -> None:
    """Run the stage named by --from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="origin", choices=list(OUTPUTS), required=True)
    origin = parser.parse_args().origin
    params = load()
    parent = PRETRAINED if origin == "pretrained" else None
    stage = "finetune" if parent else "scratch"
    job = finetuning_job(params, parent=parent)
    train(stage, job, params, OUTPUTS[origin], parent="pretrain" if parent else "project")


if __name__ == "__main__":
    run(main)
