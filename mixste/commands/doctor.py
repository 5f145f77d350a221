"""`mixste doctor`: what is installed here, which device there is, and who answers."""

import argparse
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mixste.commands.terminal import command, positive, say
from mixste.errors import MixsteError, counted, shown
from mixste.machine.cpus import usable_cpus
from mixste.registry import ANSWER, Registered, champions, reach, store_uri
from mixste.tracking_uri import VARIABLE

NEEDED = ("mixste", "torch", "numpy", "scipy", "pyarrow", "ray", "mlflow", "dvc")
EXTRAS = {
    "h5py": "reads annot_data.mat of MPI-INF-3DHP",
    "argcomplete": "completes in a shell",
    "av": "reads videos",
    "rtmlib": "finds people in videos",
    "movement": "reads DeepLabCut's, SLEAP's and others' keypoints",
    "onnxruntime": "runs exported models",
    "onnxscript": "exports models",
}
GIB = 2**30
LEAST = 2.0  # GiB that a run wants
SLOWER = "networks are slower than they could be"


def add(commands: Any) -> None:
    """Describe the subcommand."""
    parser = command(
        commands,
        "doctor",
        "say what is installed, which device there is, whether the model registry answers, and what is amiss",
        "Exit status 1 if anything is amiss.",
        "mixste doctor",
        "MLFLOW_TRACKING_URI=http://127.0.0.1:5000 mixste doctor",
    )
    parser.add_argument("--seconds", type=positive, default=ANSWER, help="to wait for a server (default: %(default)g)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print a line a finding; those that need mending begin with an exclamation mark."""
    findings = [*_installed(), *_device(), *_registry(options.seconds), *_disk()]
    width = max(len(name) for _, name, _ in findings)
    say(*(f"{' ' if good else '!'} {name:<{width}}  {text}" for good, name, text in findings))
    if not all(good for good, _, _ in findings):
        raise SystemExit(1)


Finding = tuple[bool, str, str]


def _installed() -> Iterator[Finding]:
    yield True, "python", platform.python_version()
    for name in NEEDED:
        found = _version(name)
        yield found is not None, name, found or f"not installed: pip install {name}"
    for name, use in EXTRAS.items():
        yield True, name, _version(name) or f"not installed; it {use}"
    yield True, "ffmpeg", shutil.which("ffmpeg") or "not installed; it writes motions as .mp4"


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _device() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield False, "device", f"torch cannot be imported: {error}"
        return
    from mixste.machine.hardware import missing_to_compile
    from mixste.models.kernels import native
    from mixste.models.packed import has_products

    able = " and ".join(precision for precision in ("bf16", "int8") if has_products(precision))
    products = f", multiplies {able} faster than fp32" if able else ""
    kernels = "" if native.library() else f"; {SLOWER}: no gcc that compiles their kernels"
    cores, threads = counted(usable_cpus(), "core"), counted(torch.get_num_threads(), "thread")
    yield True, "cpu", f"{cores}, {threads}{products}{kernels}"
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        missing = missing_to_compile("cuda")
        kernels = f"; {SLOWER}: no {missing}, with which Triton compiles their kernels" if missing else ""
        yield True, f"cuda:{number}", f"{name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free{kernels}"
    if not torch.cuda.is_available():
        yield True, "cuda", "no GPU that torch can use"


def _registry(seconds: float) -> Iterator[Finding]:
    named = os.environ.get(VARIABLE)
    try:
        store = store_uri()
    except MixsteError as error:
        yield not named, "registry", str(error) if named else f"none yet: {error}"
        return
    try:
        reach(store, seconds)
        yield True, "registry", shown(store)
        found = champions()
    except MixsteError as error:
        yield False, "champion", str(error)
        return
    except Exception as error:
        yield False, "champion", f"{shown(store)} is no MLflow registry: {(str(error).splitlines() or [''])[0]}"
        return
    for champion in found:
        yield True, "champion", _described(champion)
    if not found:
        yield True, "champion", "none yet: `make repro` makes one"


def _described(champion: Registered) -> str:
    mpjpe = champion.tags.get("test_mpjpe_mm")
    errors = f", test MPJPE {float(mpjpe):.1f} mm" if mpjpe else ""
    return f"{champion.name}, version {champion.version}{errors}"


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / GIB
    yield free > LEAST, "disk", f"{free:.1f} GiB free in {Path.cwd()}"
