"""Training on Ray Train, with one worker or many: what they report, what fails, and where to go on from.

`worker` is what each of them runs, `storage` where their checkpoints live, `claims` keeps others out of there,
`patience` says when a training that fails is given up, and `lookout` tells of machines.
"""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from mixste.errors import MixsteError
from mixste.files.whole import whole_folder
from pipelines.cluster import causes, connect, resources_per_worker, user_error
from pipelines.distributed.claims import claimed
from pipelines.distributed.lookout import told_of_machines
from pipelines.distributed.patience import callbacks
from pipelines.distributed.storage import Storage, open_storage
from pipelines.params import ClusterSettings
from pipelines.process.beside import Ended, beside

Records = list[dict[str, float]]
OnRecords = Callable[[Records, bool], None]
log = logging.getLogger(__name__)


def train(
    loop: Callable[[dict[str, Any]], None],
    config: dict[str, Any],
    *,
    folder: Path,
    settings: ClusterSettings,
    on_records: OnRecords,
    cores: int | None = None,
) -> Path:
    """Run a training loop on Ray Train and return the folder of its last checkpoint, fetched into `folder`.

    The loop runs on every worker and reports through `config["mailbox"]`; `on_records` sees the epochs' records here,
    and whether they were trained now or come from the checkpoint that training goes on from. A worker takes no more
    than `cores`, unless the settings say how many.

    Checkpoints live in `settings.storage`, below the folder's name. A run that was killed goes on from the last of
    them when it is started again, on any machine.
    """
    storage = open_storage(settings.storage)
    storage.check()
    place = storage.below(folder.name)
    try:
        with nullcontext() if Path(place.path) == folder.absolute() else claimed(place, folder):
            connect(settings.address, dashboard=settings.dashboard)
            resources = resources_per_worker(settings, most=cores)
            with _told_of_its_end():
                checkpoint = _fit(loop, config, place, settings, resources, on_records)
            with whole_folder(folder / "last") as partial:
                checkpoint.to_directory(partial)
    except OSError as error:
        raise place.refusal(error) from error
    return folder / "last"


@contextmanager
def _told_of_its_end() -> Iterator[None]:
    """Say in one sentence that what holds the workers together is gone; a worker is begun again."""
    from ray.exceptions import LocalRayletDiedError, ObjectLostError, RayActorError

    try:
        yield
    except (RayActorError, ObjectLostError, LocalRayletDiedError) as error:
        raise MixsteError(
            "Ray lost a part of itself that a training cannot go on without",
            found=f"{type(error).__name__}: {str(error).splitlines()[0][:200]}",
            mend="run the same command again, it resumes from the last epoch; if that ends so, too, see Ray's logs, "
            "in the dashboard or /tmp/ray/session_latest/logs: most often memory runs out",
        ) from error


def _fit(
    loop: Callable[[dict[str, Any]], None],
    config: dict[str, Any],
    place: Storage,
    settings: ClusterSettings,
    resources: dict[str, float],
    on_records: OnRecords,
) -> Any:
    """Return the last checkpoint of a training; what failed is raised as the user is told it."""
    import ray
    from ray.train import Checkpoint
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    new, path = place.begin()
    start = path and Checkpoint(path, filesystem=new.files)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # not lost with another
    mailbox = ray.remote(num_cpus=0, scheduling_strategy=here)(_Mailbox).remote()
    more = {"mailbox": mailbox, "cores": int(resources["CPU"]), "start": start, "execution": settings.execution}
    trainer = _trainer(loop, {**config, **more}, new, settings, resources)
    machines = told_of_machines(settings, resources, mailbox, resumes=start is not None)
    with _delivered(mailbox, on_records), machines, interruptible():
        try:
            result = trainer.fit()
        except ray.train.TrainingFailedError as error:
            told = _failure(mailbox) or _explained(error, place)
            raise told from (None if told is error else error)
    failure = _failure(mailbox)
    if failure is not None:
        raise failure
    if result.checkpoint or start:
        return result.checkpoint or start
    raise MixsteError(f"training in {place.uri} left no checkpoint", mend="delete the folder and run `dvc repro` again")


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, as anywhere: Ray Train handles the signal, for ever, and ends the process."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _trainer(
    loop: Callable[[dict[str, Any]], None],
    config: dict[str, Any],
    place: Storage,
    settings: ClusterSettings,
    resources: dict[str, float],
) -> Any:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    parent, name = place.path.rsplit("/", 1)
    return TorchTrainer(
        loop,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            num_workers=(settings.min_workers, settings.workers) if settings.min_workers else settings.workers,
            elastic_resize_monitor_interval_s=settings.resize_seconds,
            use_gpu=settings.gpus_per_worker > 0,
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name=name,
            storage_path=parent,
            storage_filesystem=place.files,
            failure_config=FailureConfig(max_failures=-1),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            callbacks=callbacks(),
        ),
    )


def _explained(error: BaseException, place: Storage) -> BaseException:
    """What the user is told of a training that failed: a MixsteError in it, or why the storage refused."""
    cause = user_error(error)
    refused = next((seen for seen in causes(error) if isinstance(seen, OSError)), None)
    return cause if refused is None or isinstance(cause, MixsteError) else place.refusal(refused)


def _failure(mailbox: Any) -> MixsteError | None:
    import ray

    text = ray.get(mailbox.failure.remote())
    return None if text is None else MixsteError(text)


class _Mailbox:
    """Records on their way from the workers to the driver, wherever they run, with whether they were trained now."""

    def __init__(self) -> None:
        self.batches: list[tuple[Records, bool]] = []
        self.epoch = 0.0
        self.begun = False
        self.error: str | None = None

    def begin(self) -> str | None:
        """A worker has room and begins; what another of them failed with."""
        self.begun = True
        return self.error

    def has_begun(self) -> bool:
        return self.begun

    def put(self, records: Records, trained: bool) -> None:
        new = [record for record in records if record["epoch"] > self.epoch]
        self.batches.append((new, trained))
        self.epoch = max([self.epoch, *(record["epoch"] for record in new)])

    def fail(self, error: str) -> None:
        self.error = error

    def failure(self) -> str | None:
        return self.error

    def take(self) -> list[tuple[Records, bool]]:
        taken, self.batches = self.batches, []
        return taken


@contextmanager
def _delivered(mailbox: Any, on_records: OnRecords) -> Iterator[None]:
    import ray

    def deliver(ended: Ended) -> None:
        last = False
        while not last:
            last = ended(0.3)
            for records, trained in ray.get(mailbox.take.remote()):
                on_records(records, trained)

    with beside(deliver, patience=30):
        yield
