"""What runs on every Ray Train worker: build the job's trainer, go on from the last checkpoint, report each epoch."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from mixste.errors import MixsteError
from mixste.files.whole import explain
from mixste.machine.memory import keep_freed
from mixste.training.jobs import TrainingJob
from mixste.training.state import restore_training, save_training


def train_loop(config: dict[str, Any]) -> None:
    """Train `config["job"]`; a user's error goes to the mailbox, because trying again would not mend it.

    The worker that met it fails, so that none waits for it; Ray starts all again, and then they end at once.
    """
    import ray

    mailbox = config["mailbox"]
    if ray.get(mailbox.begin.remote()) is not None:
        return
    try:
        _train(config)
    except MixsteError as error:
        ray.get(mailbox.fail.remote(str(error)))  # delivered before this worker ends
        raise


def _train(config: dict[str, Any]) -> None:
    """Rank 0 writes a checkpoint after each epoch, then puts its record in the mailbox, which keeps each epoch's once.

    What a worker that was killed in between did not put, the next one puts.
    """
    import ray
    import ray.train
    from ray.train import Checkpoint

    def deliver(records: list[dict[str, float]], *, trained: bool) -> None:
        ray.get(config["mailbox"].put.remote(records, trained))

    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    job: TrainingJob = config["job"]
    torch.set_num_threads(min(config["cores"], job.cores_worth(world)))
    keep_freed()
    trainer = job.trainer(device=ray.train.torch.get_device(), rank=rank, world=world, execution=config["execution"])
    checkpoint = ray.train.get_checkpoint() or config["start"]
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            restore_training(Path(folder), trainer)
        if rank == 0:
            deliver(trainer.state.records, trained=False)
    for record in trainer.epochs():
        if rank > 0:
            ray.train.report(record)
            continue
        try:
            with tempfile.TemporaryDirectory() as folder:
                save_training(Path(folder), trainer)
                ray.train.report(record, checkpoint=Checkpoint.from_directory(folder))
        except OSError as error:
            explain(error, Path(context.get_storage().storage_fs_path))
            raise
        deliver([record], trained=True)
