"""What a device gives: cores and who is worth them, seconds spent, the most memory held, operations a second."""

import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mixste.errors import MixsteError
from mixste.machine.memory import GIB, memory_peak_gib

# Dense tensor-core bf16 and plain fp32, TFLOP/s, from the makers' data sheets; longer names first.
_PEAKS = {
    "H200": (989.0, 67.0),
    "H100 PCIe": (756.0, 51.0),
    "H100": (989.0, 67.0),
    "A100": (312.0, 19.5),
    "L40S": (362.0, 91.6),
    "L4": (121.0, 30.3),
    "A10G": (70.0, 35.0),
    "RTX 4090": (165.2, 82.6),
    "RTX 3090": (71.0, 35.6),
}


# Multiply-adds of a forward pass that are worth a core: below, cores wait for each other more than they help.
# Measured on two: `tiny` (40 million a step) trains as fast on one as on both, `small` (720) 1.2 to 1.4 times faster.
WORTH_A_CORE = 300e6
# how torch's allocators, CUDA, Triton and cuBLAS say that there is too little
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "_ALLOC_FAILED")


def cores_worth(macs: float) -> int:
    """How many cores a forward pass of so many multiply-adds is worth."""
    return max(1, int(macs // WORTH_A_CORE))


@contextmanager
def threads_worth(macs: float) -> Iterator[None]:
    """Let torch work on as many of its threads as forward passes of so many multiply-adds are worth."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, cores_worth(macs)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Stopwatch:
    """Adds up the seconds of what runs within it; on a GPU those of its stream, for which nothing waits meanwhile."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._spans: list[tuple[Any, Any]] = []

    def __enter__(self) -> None:
        self._began = self._mark()

    def __exit__(self, *error: object) -> None:
        self._spans.append((self._began, self._mark()))

    def read(self) -> float:
        """Seconds since it was read last; on a GPU once it has come so far."""
        spans, self._spans = self._spans, []
        if not self._cuda:
            return sum(ended - began for began, ended in spans)
        torch.cuda.synchronize()
        return sum(began.elapsed_time(ended) for began, ended in spans) / 1000

    def _mark(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        mark = torch.cuda.Event(enable_timing=True)
        mark.record()
        return mark


def missing_to_compile(kind: str) -> str | None:
    """What torch and Triton need to compile kernels for a device of a kind and do not find; None if nothing."""
    if kind == "cuda":
        compilers = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    else:
        compilers = [os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")]
    if not any(map(shutil.which, compilers)):
        return " or ".join(compilers)
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    return None if header.exists() else str(header)


def refuse_without_compiler(device: torch.device) -> None:
    """Raise MixsteError where `torch.compile` would not find what it compiles kernels with."""
    missing = missing_to_compile(device.type)
    if missing:
        raise MixsteError(
            "cannot compile the network",
            found=f"no {missing} on {os.uname().nodename}",
            expected="a compiler and Python's headers, which torch.compile uses",
            mend="install it (Debian: apt install g++ python3-dev), or set cluster.compile=false",
        )


@contextmanager
def enough_memory(what: str, mend: str) -> Iterator[None]:
    """Raise MixsteError where the memory of a GPU, or of the machine, is too small for `what`."""
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _OUT_OF_MEMORY):
            raise
        found = ". ".join(str(error).splitlines()[0].split(". ")[:3])
        raise MixsteError(f"memory is too small for {what}", found=found, mend=mend) from error


def memory_peak(device: torch.device) -> float:
    """GiB: the most that tensors took of a CUDA device, or this process of memory otherwise."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    return memory_peak_gib()


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Operations a second that a GPU's data sheet promises in `bf16` or `fp32`; None for one that is not listed."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    found = next((peaks for known, peaks in _PEAKS.items() if known in name), None)
    return None if found is None else 1e12 * found[0 if precision == "bf16" else 1]
