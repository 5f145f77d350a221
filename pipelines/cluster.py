"""All of Ray: joining or starting a cluster, tasks over many files, and training on one worker or many."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mixste.errors import MixsteError
from pipelines.environment import set_environment
from pipelines.params import ClusterSettings
from pipelines.progress import progress

Item = TypeVar("Item")
Output = TypeVar("Output")
FEWEST_CPUS = 2  # of a local cluster, so that the two workers of cluster=local run on one core, too
log = logging.getLogger(__name__)


def connect(address: str | None = None) -> None:
    """Join the cluster at `RAY_ADDRESS` or `address`, or start one in this machine; once a process."""
    set_environment()
    import ray

    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS") or address
    try:
        ray.init(
            address=address,
            num_cpus=None if address else max(FEWEST_CPUS, os.cpu_count() or 1),
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level="error",
        )
    except ConnectionError as error:
        raise MixsteError(
            f"cannot join the Ray cluster at {address}",
            found=str(error).splitlines()[0],
            mend="start it with `ray start --head`, or unset RAY_ADDRESS and cluster.address",
        ) from error


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
    """Run a training loop on Ray Train and return the folder of its last checkpoint.

    The loop runs on every worker and reports through `config["mailbox"]`; `on_record` sees each epoch's record here.
    A run that was killed goes on from its last checkpoint when it is started again with the same folder.
    """
    connect(settings.address)
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    mailbox = ray.remote(num_cpus=0)(_Mailbox).remote()
    trainer = TorchTrainer(
        loop,
        train_loop_config={
            **config,
            "mailbox": mailbox,
            "threads": _cpus_per_worker(settings),
            "accumulate": settings.accumulate,
        },
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=settings.gpus_per_worker > 0,
            resources_per_worker=resources_per_worker(settings),
        ),
        run_config=RunConfig(
            name=folder.name,
            storage_path=str(folder.parent.absolute()),
            failure_config=FailureConfig(max_failures=2),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    with _delivered(mailbox, on_record):
        try:
            result = trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise _failure(mailbox) or _user_error(error) from error
    failure = _failure(mailbox)
    if failure is not None:
        raise failure
    if result.checkpoint is None:
        raise MixsteError(
            f"training in {folder} left no checkpoint", mend="delete the folder and run `dvc repro` again"
        )
    return Path(result.checkpoint.path)


def resources_per_worker(settings: ClusterSettings) -> dict[str, float]:
    """Return what one training process takes of the cluster; raises MixsteError if it has not as much for all."""
    resources: dict[str, float] = {"CPU": _cpus_per_worker(settings)}
    if settings.gpus_per_worker:
        resources["GPU"] = settings.gpus_per_worker
    return resources


def room(resources: Mapping[str, float]) -> int:
    """How many processes with these resources the cluster holds at once."""
    import ray

    there = ray.cluster_resources()
    return max(1, min(int(there.get(name, 0) // amount) for name, amount in resources.items()))


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


def _cpus_per_worker(settings: ClusterSettings) -> int:
    import ray

    available = int(ray.cluster_resources().get("CPU", 0))
    wanted = settings.cpus_per_worker or max(1, available // settings.workers)
    if wanted * settings.workers > available:
        raise MixsteError(
            "the cluster is too small",
            found=f"{available} CPUs",
            expected=f"{settings.workers} workers x {wanted} CPUs",
            mend="lower cluster.workers or cluster.cpus_per_worker",
        )
    gpus = ray.cluster_resources().get("GPU", 0)
    if settings.gpus_per_worker * settings.workers > gpus:
        raise MixsteError(
            "the cluster is too small",
            found=f"{gpus:g} GPUs",
            expected=f"{settings.workers} workers x {settings.gpus_per_worker} GPUs",
            mend="lower cluster.gpus_per_worker",
        )
    return wanted


def _result(reference: Any) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise _user_error(error) from error


def _user_error(error: BaseException) -> BaseException:
    """The MixsteError at the bottom of what Ray raised, or the error itself."""
    seen: BaseException | None = error
    while seen is not None:
        causes = [getattr(seen, "cause", None), *getattr(seen, "worker_failures", {}).values(), seen.__cause__]
        for cause in causes:
            if isinstance(cause, MixsteError) and not hasattr(cause, "cause"):  # Ray's copy has the traceback as text
                return cause
        seen = next((cause for cause in causes if isinstance(cause, BaseException)), None)
    return error
