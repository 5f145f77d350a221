"""What the machine does while a stage runs: MLflow's system metrics of the CPUs, memory, disk, network and GPUs."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from pipelines.process.beside import Ended, beside

Log = Callable[[Mapping[str, float], int], None]


@contextmanager
def machine_metrics(log: Log, seconds: int | None, began: float) -> Iterator[None]:
    """Log as `system/...` every so many seconds, null for never; steps are seconds since the run began."""
    if seconds is None:
        yield
        return
    with beside(partial(_watch, log, seconds, began), patience=1):
        yield


def _watch(log: Log, seconds: int, began: float, ended: Ended) -> None:
    monitors = _monitors()
    _values(monitors)  # psutil's first reading of the CPUs is no reading
    while not ended(seconds):
        log(_values(monitors), round(time.time() - began))


def _values(monitors: list[Any]) -> dict[str, float]:
    values: dict[str, float] = {}
    for monitor in monitors:
        with suppress(Exception):  # a sensor that fails
            monitor.collect_metrics()
            values |= {f"system/{key}": value for key, value in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
    return values


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        monitors.append(GPUMonitor())
    except Exception as error:  # no NVIDIA GPU, or nvidia-ml-py is not installed
        logging.getLogger(__name__).debug("no metrics of GPUs: %s", error)
    return monitors
