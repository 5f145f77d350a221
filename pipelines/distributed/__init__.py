"""Training on Ray Train, with one worker or many: what they report, what fails, and where to go on from.

`worker` is what each of them runs, `storage` where their checkpoints live, and `claims` keeps others out of there.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from mixste.errors import MixsteError
from mixste.files import whole_folder
from pipelines.cluster import causes, connect, machines_alive, resources_per_worker, room, user_error
from pipelines.distributed.claims import claimed
from pipelines.distributed.storage import Storage, open_storage
from pipelines.params import ClusterSettings

Records = list[dict[str, float]]
OnRecords = Callable[[Records, bool], None]
ATTEMPTS = 3  # that fail without a new epoch between them, before training is given up
ROOM_S = 5.0
BUSY_S = 60.0  # longer than workers take to start; twice as long each time that it is told
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
    with _delivered(mailbox, on_records), _told_of_room(settings, resources, mailbox), interruptible():
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
            callbacks=[_patience(), *_beginnings()],
        ),
    )


def _patience() -> Any:
    """Give up after some failures in a row without a new epoch: machines come and go, but a bug stays.

    What fails beside a worker whose machine was taken away fails because of it.
    """
    from ray.train import UserCallback

    class Patience(UserCallback):
        failures = 0

        def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
            self.failures = 0

        def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
            self.failures += not any(map(_preempted, worker_exceptions.values()))
            if self.failures >= ATTEMPTS:
                raise next(iter(worker_exceptions.values()))

    return Patience()


def _beginnings() -> list[Any]:
    """Give up after some worker groups in a row of which a process died while it began, before any of our code runs.

    Where there is no room Ray tries again, too, which is not counted. The hook is not public: a Ray that does not have
    it tries for ever.
    """
    try:
        from ray.train.v2._internal.execution.callback import ControllerCallback
    except ImportError:
        return []

    class Beginnings(ControllerCallback):
        failures = 0

        def after_controller_state_update(self, previous_state: Any, current_state: Any) -> None:
            error = getattr(current_state, "training_failed_error", None)
            failure: Any = getattr(error, "controller_failure", None)
            if type(current_state).__name__ == "RunningState":
                self.failures = 0
            if type(failure).__name__ == "WorkerGroupStartupFailedError":
                self.failures += 1
                if self.failures >= ATTEMPTS:
                    raise MixsteError(
                        f"workers died as they began, {ATTEMPTS} times in a row",
                        found=str(failure.__cause__ or failure).splitlines()[-1][:200],
                        mend="see Ray's logs of them, in the dashboard or /tmp/ray/session_latest/logs: most often "
                        "memory runs out, or a machine's environment is not that of the others",
                    )

    return [Beginnings()]


def _preempted(error: Exception) -> bool:
    """Say whether Ray knows that a worker's machine was taken away, as the clouds' cheapest are."""
    return getattr(getattr(error, "health_check_failure", error), "preempted", False)


@contextmanager
def _told_of_room(settings: ClusterSettings, resources: Mapping[str, float], mailbox: Any) -> Iterator[None]:
    """Say in the log when machines that training could use are not there, and when they are; and if others use them."""
    import ray

    ended = threading.Event()

    def watch() -> None:
        before, told, pause = settings.workers, time.monotonic(), BUSY_S
        while not ended.wait(ROOM_S):
            if time.monotonic() - told > pause and not ray.get(mailbox.has_begun.remote()):
                told, pause, free = time.monotonic(), 2 * pause, ray.available_resources()
                wanted = (f"{amount:g} {name}s ({free.get(name, 0):g} free)" for name, amount in resources.items())
                what = "machines" if settings.autoscaling else "others to end"
                log.warning("no worker has begun: each takes %s; waiting for %s", ", ".join(wanted), what)
            now = min(room(resources), settings.workers)
            if now != before:
                waits = now < (settings.min_workers or settings.workers)
                goes_on = "goes on from its last epoch" if ray.get(mailbox.has_begun.remote()) else "begins"
                what = "waits for machines" if waits else goes_on
                log.warning("%s: room for %d of %d workers; training %s", machines_alive(), now, settings.workers, what)
            before = now

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=ROOM_S)


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

    ended = threading.Event()

    def deliver() -> None:
        while True:
            last = ended.wait(0.3)
            for records, trained in ray.get(mailbox.take.remote()):
                on_records(records, trained)
            if last:
                return

    thread = threading.Thread(target=deliver, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=30)
