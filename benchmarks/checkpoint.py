"""Bytes and CPU seconds of a training's checkpoint: model, kept weights and the optimiser's state in one file.

    python -m benchmarks.checkpoint [--folder DIR] [model=base model.frames=9 ...]

What follows goes to `conf/` as in `make params`. One step is trained before, so that the optimiser has its state: take
few frames, which change the size by little.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from omegaconf import OmegaConf

from benchmarks.scale_stages import make_place
from mixste.files.hashing import data_hash
from mixste.settings.typed import build
from mixste.training.jobs import TrainingJob
from mixste.training.state import FILE, restore_training, save_training
from pipelines.data import provide
from pipelines.params import Params
from pipelines.settings.composing import compose


def main() -> None:
    """Print the size, and the CPU seconds to write, to read and to hash it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    chosen, overrides = parser.parse_known_args()
    composed = compose(["model=base", "model.frames=9", *overrides])
    params = build(Params, OmegaConf.to_container(composed, resolve=True), "conf")
    provide(Path(params.data.folder), synthetic=params.data.synthetic)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = Path(name)
        place = make_place(params, folder, 1)
        table = folder / "random" / place.subject.path.name
        training = replace(params.pretrain, batch_size=2, windows_per_epoch=2, validation_windows=1, epochs=1)
        job = TrainingJob(
            model=params.model, training=training, train=(table,), validation=(table,),
            skeleton=params.data.skeleton, fps=params.data.fps, seed=params.seed,
        )  # fmt: skip
        trainer = job.trainer(device=torch.device("cpu"))
        list(trainer.epochs())
        parameters = sum(values.numel() for values in trainer.model.parameters())
        seconds = {
            "write": timed(lambda: save_training(folder, trainer)),
            "read": timed(lambda: restore_training(folder, trainer)),
            "hash": timed(lambda: data_hash(folder / FILE)),
        }
        size = (folder / FILE).stat().st_size
    print(f"{parameters:,} parameters, {size / 1e6:,.0f} MB, {size / parameters / 4:.2f} times the weights")
    for what, taken in seconds.items():
        print(f"  {what}: {taken:.2f} CPU s, {size / taken / 1e6:,.0f} MB a CPU second")


def timed(function: Callable[[], object]) -> float:
    """CPU seconds of a call, which other jobs beside it do not stretch."""
    started = time.process_time()
    function()
    return time.process_time() - started


if __name__ == "__main__":
    main()
