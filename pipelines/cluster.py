"""A Ray cluster: joining or starting one, what it has room for, and tasks over many files."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any, TypeVar

from mixste.errors import MixsteError, counted
from mixste.machine.cpus import usable_cpus
from pipelines.params import ClusterSettings
from pipelines.process.environment import set_environment
from pipelines.process.progress import progress

Item = TypeVar("Item")
Output = TypeVar("Output")
LOCAL = "local"  # a Ray of our own, also where someone else's runs on this machine
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # 0: on 127.0.0.1 alone
PREEMPTION = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"  # 0: this machine is not taken away, and watching it takes seconds
ANSWER_S = 5.0
GOES_S = 0.5
LOOK_S = 5.0  # between two looks at how many CPUs there are by now
FEWEST_CPUS = 2  # of a local cluster, so that two workers run on one core, too
log = logging.getLogger(__name__)


def connect(address: str | None = None, *, dashboard: bool = False) -> bool:
    """Join the cluster at `RAY_ADDRESS` or `address`, or start one in this machine; once a process.

    Returns whether it is the process's own, and ends with it.
    """
    set_environment()
    address = os.environ.get("RAY_ADDRESS") or address or LOCAL
    here = address == LOCAL
    if "://" in address:
        raise MixsteError(
            f"cannot join the Ray cluster at {address}",
            expected="HOST:PORT of its head, the port that `ray start --head` names: 6379 unless it was given another",
            mend="set RAY_ADDRESS or cluster.address to that; an http address is the dashboard's, for `make job`",
        )
    try:
        with _on_loopback() if here else nullcontext():
            import ray

            if ray.is_initialized():
                return here
            _knock(address)
            if here:
                os.environ.setdefault(PREEMPTION, "0")
            context = ray.init(
                address=address,
                num_cpus=max(FEWEST_CPUS, usable_cpus()) if here else None,
                include_dashboard=dashboard if here else None,
                log_to_driver=False,
                logging_level="error",
            )
    except Exception as error:  # Ray raises bare ones, too
        raise _cannot_join(address, error) from error
    if here and (listens := context.address_info["node_ip_address"]) != "127.0.0.1":
        log.warning(
            "Ray listens at %s, not on 127.0.0.1 alone, because it was imported before it was asked to", listens
        )
    if dashboard and context.dashboard_url:
        log.info("Ray's dashboard: http://%s", context.dashboard_url)
    return here


def answers() -> bool:
    """Whether the Ray that this process has joined is still there; one that goes is given a moment for it."""
    import ray

    address = ray.get_runtime_context().gcs_address
    time.sleep(GOES_S)
    try:
        _knock(address)
    except OSError:
        return False
    return True


def way_to_join() -> dict[str, str]:
    """Return the environment variables by which other processes join the Ray of our own that this one started."""
    import ray

    return {"RAY_ADDRESS": ray.get_runtime_context().gcs_address, LOOPBACK: "0", PREEMPTION: "0"}


def fan_out(
    function: Callable[[Item], Output],
    items: Sequence[Item],
    title: str,
    *,
    address: str | None = None,
    at_once: int | None = None,
) -> list[Output]:
    """Run `function` on every item as Ray tasks, here or at the cluster's address; results in the items' order.

    No more tasks are in flight than `at_once`, or twice the CPUs that there are by then, so that memory stays bounded
    and a cluster that starts machines on demand is asked for them. The first MixsteError of a task is raised here as
    it is, and nothing more is started.
    """
    connect(address)
    import ray

    task = ray.remote(num_cpus=1, max_retries=2)(function)
    if items and not ray.cluster_resources().get("CPU"):
        log.info("%s  no machine of the cluster has a CPU; waiting for one that has", title)
    results: dict[int, Output] = {}
    waiting: dict[Any, int] = {}
    todo = enumerate(items)
    with progress(title) as tell:
        while len(results) < len(items):
            most = at_once or max(1, int(2 * ray.cluster_resources().get("CPU", 0)))
            for number, item in islice(todo, max(0, most - len(waiting))):
                waiting[task.remote(item)] = number
            done, _ = ray.wait(list(waiting), num_returns=1, timeout=LOOK_S)
            for reference in done:
                number = waiting.pop(reference)
                results[number] = _result(reference, items[number])
                tell(len(results), len(items))
    return [results[number] for number in range(len(items))]


def resources_per_worker(settings: ClusterSettings, *, most: int | None = None) -> dict[str, float]:
    """Return what one training process takes of the cluster; raises MixsteError if it has not as much for all.

    Where the settings do not say how many CPUs, it is no more than `most`. A cluster that starts machines on demand
    is asked for as much as the settings say.
    """
    least = settings.min_workers or settings.workers
    mend = "lower cluster.workers, cluster.min_workers, cluster.cpus_per_worker or cluster.gpus_per_worker"
    cpus, gpus = settings.cpus_per_worker, settings.gpus_per_worker
    grows = settings.autoscaling
    return shared_out(settings.workers, cpus, gpus, least=least, most=most, grows=grows, what="worker", mend=mend)


def shared_out(
    count: int,
    cpus: int | None,
    gpus: float,
    *,
    least: int,
    what: str,
    mend: str,
    most: int | None = None,
    grows: bool = False,
) -> dict[str, float]:
    """Return what one of `count` processes takes of the cluster.

    Without `cpus` it is its share of all, `most` at most, and less where machines then hold more of them. Raises
    MixsteError if there is not as much for `least` of them, for which Ray would wait, unless the cluster `grows`.
    """
    machines = _machines()
    share = int(sum(machine.get("CPU", 0) for machine in machines)) // count
    numbers = [cpus] if cpus else range(max(1, min(share, most or share)), 0, -1)
    offers = [{"CPU": number} | ({"GPU": gpus} if gpus else {}) for number in numbers]
    best = max(offers, key=lambda offer: min(count, _held(machines, offer)))
    if grows or _held(machines, best) >= least:
        return best
    there = {name: sum(machine.get(name, 0) for machine in machines) for name in offers[-1]}
    raise MixsteError(
        "the cluster is too small",
        found=f"{_in_words(there)} on {machines_alive()}",
        expected=f"{counted(least, what)} x {_in_words(offers[-1])}",
        mend=mend,
    )


def room(resources: Mapping[str, float]) -> int:
    """How many processes with these resources the machines of the cluster hold at once."""
    return _held(_machines(), resources)


def machines_alive() -> str:
    """How many machines are alive, in words."""
    return counted(len(_machines()), "machine")


def _in_words(resources: Mapping[str, float]) -> str:
    return ", ".join(counted(float(amount), name) for name, amount in resources.items())


def _machines() -> list[Mapping[str, float]]:
    """What each machine that is alive has."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _held(machines: Sequence[Mapping[str, float]], resources: Mapping[str, float]) -> int:
    return sum(min(int(own.get(name, 0) // amount) for name, amount in resources.items()) for own in machines)


def _result(reference: Any, item: object) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise user_error(error) from error
    except (ray.exceptions.OutOfMemoryError, ray.exceptions.WorkerCrashedError) as error:
        raise MixsteError(
            f"the task of {getattr(item, 'path', item)} was ended each time that it was tried",
            found=str(error).splitlines()[0],
            mend="most often memory ran out: close what else runs, take a machine with more, or give Ray fewer CPUs "
            "(`ray start --num-cpus`), and run the same command again",
        ) from error


def user_error(error: BaseException) -> BaseException:
    """The MixsteError at the bottom of what Ray raised, or the error itself."""
    for seen in causes(error):
        if isinstance(seen, MixsteError) and not hasattr(seen, "cause"):  # Ray's copy has the traceback as text
            return seen
    return error


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it was raised for, through Ray's wrappers."""
    yield error
    inner = [getattr(error, "cause", None), getattr(error, "controller_failure", None), error.__cause__]
    for cause in (*inner, *getattr(error, "worker_failures", {}).values()):
        if isinstance(cause, BaseException):
            yield from causes(cause)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Let a Ray that is imported and started here listen on 127.0.0.1 alone, as it does by itself on Windows and macOS.

    The variable is not left behind: with it, `ray start` joins no cluster.
    """
    chosen = LOOPBACK in os.environ
    os.environ.setdefault(LOOPBACK, "0")
    try:
        yield
    finally:
        if not chosen:
            del os.environ[LOOPBACK]


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
    otherwise = "unset RAY_ADDRESS" if os.environ.get("RAY_ADDRESS") else "stay here: `make params ... cluster=local`"
    mend = f"start it with `ray start --head`, or {otherwise}; docs/cluster.md has more"
    return MixsteError(f"cannot join the Ray cluster at {address}", found=found, mend=mend)
