"""Seconds and peak memory of a command with all the processes it starts, Ray's included.

    python -m benchmarks.pipeline [--json FILE] -- dvc repro

Memory is the sum of the processes' proportional set sizes (shared pages counted once), twice a second. Linux only.
"""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MARK = "MIXSTE_BENCHMARK"


def of_marked(mark: str, read: Callable[[Path], float]) -> dict[str, float]:
    """What `read` finds in the folder below /proc of every process whose environment carries the mark, by its id."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):  # it ended meanwhile, or is somebody else's
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                found[process.name] = read(process)
    return found


def memory(mark: str) -> float:
    """Bytes of all processes whose environment carries the mark."""
    return sum(of_marked(mark, lambda process: _proportional(process / "smaps_rollup")).values())


def _proportional(rollup: Path) -> int:
    line = next(line for line in rollup.read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


def measure(command: list[str]) -> dict[str, float]:
    """Run a command; its seconds, its exit status and the peak of its memory in GiB."""
    mark = str(os.getpid())
    started, peak = time.perf_counter(), 0.0
    with subprocess.Popen(command, env={**os.environ, MARK: mark}) as process:
        while process.poll() is None:
            peak = max(peak, memory(mark))
            time.sleep(0.5)
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "peak_memory_gib": round(peak / 2**30, 2),
        "status": process.returncode,
    }


def main() -> None:
    """Print the figures, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    command = chosen.command[1:] if chosen.command[:1] == ["--"] else chosen.command
    found = measure(command)
    figures = f"{found['seconds']} s, peak memory {found['peak_memory_gib']} GiB, exit status {found['status']}"
    print(f"{' '.join(command)}: {figures}")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
