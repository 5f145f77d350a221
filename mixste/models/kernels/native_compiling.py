"""Has gcc compile the C beside it when that is first needed, and keeps what comes of it in the user's cache.

It is kept by what it was made of and for which CPU.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

SOURCES = sorted(Path(__file__).parent.glob("native*.[ch]"))
WIDEST = 4096  # a token that is normed has at most so many numbers
FLAGS = [
    f"-DWIDEST={WIDEST}",
    *("-std=gnu11", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fopenmp", "-fPIC"),
    "-fno-tree-loop-distribute-patterns",  # no calls to copy the few numbers of a token
    *(["-mprefer-vector-width=512"] if platform.machine() == "x86_64" else []),
]

log = logging.getLogger(__name__)


def load() -> ctypes.CDLL | None:
    """What the C was compiled to; None where it cannot be, which the log says."""
    try:
        facts = [source.read_text() for source in SOURCES], _compiler(), FLAGS, _openmp(), _cpu()
        name = f"native-{hashlib.blake2b(repr(facts).encode(), digest_size=12).hexdigest()}.so"
        return _kept(name) or _compiled(name)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or str(error)
        log.info("networks are slower on this CPU, for their kernels cannot be compiled: %s", told.strip())
        return None


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mixste"


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "")) or ["gcc"]


def _kept(name: str) -> ctypes.CDLL | None:
    try:
        kept = _cache() / name
        return ctypes.CDLL(str(kept)) if kept.exists() else None
    except (OSError, RuntimeError) as error:
        log.info("compiled anew: %s", error)
        return None


def _compiled(name: str) -> ctypes.CDLL:
    """Compile, load, and keep it if the cache can be written to."""
    with TemporaryDirectory() as folder:
        made = {str(source): f"{folder}/{source.stem}.o" for source in SOURCES if source.suffix == ".c"}
        linked = Path(folder) / name
        for arguments in (
            *([*FLAGS, "-c", source, "-o", one] for source, one in made.items()),
            ["-shared", *made.values(), _openmp(), "-lm", "-o", str(linked)],
        ):
            subprocess.run([*_compiler(), *arguments], check=True, capture_output=True, text=True)
        found = ctypes.CDLL(str(linked))
        try:
            cache = _cache()
            cache.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=cache) as own:
                (Path(own) / name).write_bytes(linked.read_bytes())
                (Path(own) / name).replace(cache / name)
        except (OSError, RuntimeError) as error:
            log.info("what was compiled is not kept: %s", error)
        return found


def _cpu() -> list[str]:
    """What tells this CPU from others, whose code it may not run."""
    if not (facts := Path("/proc/cpuinfo")).exists():
        return [platform.machine(), platform.processor()]
    lines = facts.read_text().splitlines()
    return sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})


def _openmp() -> str:
    """The OpenMP library that torch came with, so that both have the same threads, or the compiler's."""
    found = sorted(Path(torch.__file__).parent.glob("lib/libgomp*.so*"))
    return str(found[0]) if found else "-fopenmp"
