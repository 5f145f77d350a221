"""Train on labelled detections, from scratch or from the pre-trained weights: two stages, one budget.

datasets/projections/rig (and models/pretrained) -> models/scratch, models/finetuned.
"""

import argparse

from pipelines.params import load
from pipelines.places import MODELS, PROJECTIONS
from pipelines.process.stage import run
from pipelines.recipes import finetuning_job
from pipelines.training import train


def main() -> None:
    """Run the stage `scratch`, or with `--from pretrained` the stage `finetune`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="origin", choices=["scratch", "pretrained"], required=True)
    params = load()
    if parser.parse_args().origin == "scratch":
        train("scratch", finetuning_job(params, parent=None), params, MODELS["scratch"], parent=PROJECTIONS)
    else:
        job = finetuning_job(params, parent=MODELS["pretrained"])
        train("finetune", job, params, MODELS["finetuned"], parent=MODELS["pretrained"])


if __name__ == "__main__":
    run(main)
