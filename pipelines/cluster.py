"""All of Ray: joining or starting a cluster, tasks over many files, and training on one worker or many."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from mixste.errors import MixsteError
from mixste.files import whole_folder
from pipelines.claims import claimed
from pipelines.environment import set_environment
from pipelines.params import ClusterSettings
from pipelines.progress import progress
from pipelines.storage import Storage, open_storage

Item = TypeVar("Item")
Output = TypeVar("Output")
LOCAL = "local"  # a Ray of our own, also where someone else's runs on this machine
ATTEMPTS = 3  # that fail without a new epoch between them, before training is given up
ROOM_S = 5.0
ANSWER_S = 5.0
FEWEST_CPUS = 2  # of a local cluster, so that the two workers of cluster=local run on one core, too
log = logging.getLogger(__name__)


def connect(address: str | None = None, *, dashboard: bool = False) -> None:
    """Join the cluster at `RAY_ADDRESS` or `address`, or start one in this machine; once a process."""
    set_environment()
    import ray

    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS") or address or LOCAL
    here = address == LOCAL
    try:
        _knock(address)
        context = ray.init(
            address=address,
            num_cpus=max(FEWEST_CPUS, os.cpu_count() or 1) if here else None,
            include_dashboard=dashboard if here else None,
            log_to_driver=False,
            logging_level="error",
        )
    except Exception as error:  # Ray raises bare ones, too
        raise _cannot_join(address, error) from error
    if dashboard and context.dashboard_url:
        log.info("Ray's dashboard: http://%s", context.dashboard_url)


def fan_out(
    function: Callable[[Item], Output],
    items: Sequence[Item],
    title: str,
    *,
    address: str | None = None,
    at_once: int | None = None,
) -> list[Output]:
    """Run `function` on every item as Ray tasks, here or at the cluster's address; results in the items' order.

    No more tasks are in flight than `at_once`, or twice the CPUs, so that memory stays bounded. The first MixsteError
    of a task is raised here as it is, and nothing more is started.
    """
    connect(address)
    import ray

    task = ray.remote(num_cpus=1, max_retries=2)(function)
    in_flight = at_once or int(2 * ray.cluster_resources().get("CPU", 1))
    results: dict[int, Output] = {}
    waiting: dict[Any, int] = {}
    todo = iter(enumerate(items))
    with progress(title) as tell:
        while len(results) < len(items):
            for number, item in todo:
                waiting[task.remote(item)] = number
                if len(waiting) >= in_flight:
                    break
            done, _ = ray.wait(list(waiting), num_returns=1)
            results[waiting.pop(done[0])] = _result(done[0])
            tell(len(results), len(items))
    return [results[number] for number in range(len(items))]


def train(
    loop: Callable[[dict[str, Any]], None],
    config: dict[str, Any],
    *,
    folder: Path,
    settings: ClusterSettings,
    on_record: Callable[[dict[str, float]], None],
) -> Path:
    """Run a training loop on Ray Train and return the folder of its last checkpoint, fetched into `folder`.

    The loop runs on every worker and reports through `config["mailbox"]`; `on_record` sees each epoch's record here.
    Checkpoints live in `settings.storage`, below the folder's name. A run that was killed goes on from the last of
    them when it is started again, on any machine.
    """
    storage = open_storage(settings.storage)
    storage.check()
    place = storage.below(folder.name)
    try:
        with nullcontext() if Path(place.path) == folder.absolute() else claimed(place, folder):
            connect(settings.address, dashboard=settings.dashboard)
            checkpoint = _fit(loop, config, place, settings, on_record)
            with whole_folder(folder / "last") as partial:
                checkpoint.to_directory(partial)
    except OSError as error:
        raise place.refusal(error) from error
    return folder / "last"


def _fit(
    loop: Callable[[dict[str, Any]], None],
    config: dict[str, Any],
    place: Storage,
    settings: ClusterSettings,
    on_record: Callable[[dict[str, float]], None],
) -> Any:
    """Return the last checkpoint of a training; what failed is raised as the user is told it."""
    import ray
    from ray.train import Checkpoint
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    resources = resources_per_worker(settings)
    new, path = place.begin()
    start = path and Checkpoint(path, filesystem=new.files)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # not lost with another
    mailbox = ray.remote(num_cpus=0, scheduling_strategy=here)(_Mailbox).remote()
    more = {"mailbox": mailbox, "threads": int(resources["CPU"]), "start": start, "accumulate": settings.accumulate}
    trainer = _trainer(loop, {**config, **more}, new, settings, resources)
    with _delivered(mailbox, on_record), _told_of_room(settings, resources):
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


def resources_per_worker(settings: ClusterSettings) -> dict[str, float]:
    """Return what one training process takes of the cluster; raises MixsteError if it has not as much for all."""
    import ray

    there = ray.cluster_resources()
    wanted: dict[str, float] = {"CPU": settings.cpus_per_worker or max(1, int(there.get("CPU", 0)) // settings.workers)}
    if settings.gpus_per_worker:
        wanted["GPU"] = settings.gpus_per_worker
    least = settings.min_workers or settings.workers
    if room(wanted) < least:
        each = ", ".join(f"{amount:g} {name}s" for name, amount in wanted.items())
        keys = " or ".join(f"cluster.{name.lower()}s_per_worker" for name in wanted)
        raise MixsteError(
            "the cluster is too small",
            found=", ".join(f"{there.get(name, 0):g} {name}s" for name in wanted) + f" on {_alive()}",
            expected=f"{least} workers x {each}",
            mend=f"lower cluster.workers, cluster.min_workers or {keys}",
        )
    return wanted


def room(resources: Mapping[str, float]) -> int:
    """How many processes with these resources the machines of the cluster hold at once."""
    import ray

    return sum(
        min(int(node["Resources"].get(name, 0) // amount) for name, amount in resources.items())
        for node in ray.nodes()
        if node["Alive"]
    )


def _alive() -> str:
    import ray

    count = sum(node["Alive"] for node in ray.nodes())
    return f"{count} machine{'s'[: count != 1]}"


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
            callbacks=[_patience()],
        ),
    )


def _patience() -> Any:
    """Give up after some failures in a row without a new epoch: machines come and go, but a bug stays."""
    from ray.train import UserCallback

    class Patience(UserCallback):
        failures = 0

        def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
            self.failures = 0

        def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
            self.failures += 1
            if self.failures >= ATTEMPTS:
                raise next(iter(worker_exceptions.values()))

    return Patience()


@contextmanager
def _told_of_room(settings: ClusterSettings, resources: Mapping[str, float]) -> Iterator[None]:
    """Say in the log when machines that training could use are gone, and when they are back."""
    ended = threading.Event()

    def watch() -> None:
        before = settings.workers
        while not ended.wait(ROOM_S):
            now = min(room(resources), settings.workers)
            if now != before:
                waits = now < (settings.min_workers or settings.workers)
                what = "waits for machines" if waits else "goes on from its last epoch"
                log.warning("%s: room for %d of %d workers; training %s", _alive(), now, settings.workers, what)
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
    cause = _user_error(error)
    refused = next((seen for seen in _causes(error) if isinstance(seen, OSError)), None)
    return cause if refused is None or isinstance(cause, MixsteError) else place.refusal(refused)


def _failure(mailbox: Any) -> MixsteError | None:
    import ray

    text = ray.get(mailbox.failure.remote())
    return None if text is None else MixsteError(text)


class _Mailbox:
    """Records on their way from the workers to the driver, wherever they run."""

    def __init__(self) -> None:
        self.records: list[dict[str, float]] = []
        self.epoch = 0.0
        self.error: str | None = None

    def put(self, records: list[dict[str, float]]) -> None:
        new = [record for record in records if record["epoch"] > self.epoch]
        self.records += new
        self.epoch = max([self.epoch, *(record["epoch"] for record in new)])

    def fail(self, error: str) -> None:
        self.error = error

    def failure(self) -> str | None:
        return self.error

    def take(self) -> list[dict[str, float]]:
        taken, self.records = self.records, []
        return taken


@contextmanager
def _delivered(mailbox: Any, on_record: Callable[[dict[str, float]], None]) -> Iterator[None]:
    import ray

    ended = threading.Event()

    def deliver() -> None:
        while True:
            last = ended.wait(0.3)
            for record in ray.get(mailbox.take.remote()):
                on_record(record)
            if last:
                return

    thread = threading.Thread(target=deliver, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=30)


def _result(reference: Any) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise _user_error(error) from error


def _user_error(error: BaseException) -> BaseException:
    """The MixsteError at the bottom of what Ray raised, or the error itself."""
    for seen in _causes(error):
        if isinstance(seen, MixsteError) and not hasattr(seen, "cause"):  # Ray's copy has the traceback as text
            return seen
    return error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it was raised for, through Ray's wrappers."""
    yield error
    inner = [getattr(error, "cause", None), getattr(error, "controller_failure", None), error.__cause__]
    for cause in (*inner, *getattr(error, "worker_failures", {}).values()):
        if isinstance(cause, BaseException):
            yield from _causes(cause)


def _knock(address: str) -> None:
    """Raise OSError if nobody listens at HOST:PORT; Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()


def _cannot_join(address: str, error: Exception) -> MixsteError:
    found = (str(error).splitlines() or [repr(error)])[0]
    if address == LOCAL:
        mend = "see that memory and disk are free, and run the same command again when the machine is less busy"
        return MixsteError("cannot start Ray on this machine", found=found, mend=mend)
    mend = "start it with `ray start --head`, or unset RAY_ADDRESS and cluster.address; docs/cluster.md has more"
    return MixsteError(f"cannot join the Ray cluster at {address}", found=found, mend=mend)
