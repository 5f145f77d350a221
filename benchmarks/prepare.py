"""Time the reading and preparing of a data set: `python -m benchmarks.prepare [data=cmu] [--json FILE]`.

Without Ray, in one process: what parsing, posing and preparing cost by themselves, and reading and writing tables. The
CMU set is expected in data/cmu.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mixste.captures.formats.asfamc import bone_ends, find_asf, read_amc, read_asf
from mixste.captures.formats.bvh import joint_positions, read_bvh
from mixste.errors import MixsteError
from mixste.settings.typed import build
from mixste.table import read_table
from mixste.table_writer import write_table
from pipelines.settings.composing import compose
from pipelines.settings.data import DataSettings
from pipelines.tasks.captured import Subject, find_subjects, prepare_subject


def main() -> None:
    """Print a table of the parts' seconds and rates, and write it as JSON if asked."""
    arguments = sys.argv[1:]
    target = Path(arguments.pop(arguments.index("--json") + 1)) if "--json" in arguments else None
    chosen = [argument for argument in arguments if argument != "--json"] or ["data=cmu"]
    data = build(DataSettings, OmegaConf.to_container(compose(chosen).data), "conf")
    with tempfile.TemporaryDirectory() as folder:
        subjects = find_subjects(data, Path(folder))
        result = {"data": data.name, **parse(subjects), **prepare(subjects), **tables(Path(folder), data)}
    result["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    for name, value in result.items():
        print(f"{name:28} {value}")
    if target:
        target.write_text(json.dumps(result, indent=2) + "\n")


def parse(subjects: list[Subject]) -> dict[str, Any]:
    """Read and pose every file, each part timed."""
    numbers, seconds, posing, damaged = 0, 0.0, 0.0, 0
    for subject in subjects:
        for trial in subject.trials:
            started = time.perf_counter()
            try:
                count, pose = READERS[subject.source.format](trial.path)
            except MixsteError:
                damaged += 1
                continue
            read = time.perf_counter()
            pose()
            numbers, seconds, posing = numbers + count, seconds + read - started, posing + time.perf_counter() - read
    return {
        "damaged_files": damaged,
        "numbers": numbers,
        "parse_seconds": round(seconds, 2),
        "parse_numbers_per_second": round(numbers / seconds),
        "pose_seconds": round(posing, 2),
    }


def read_motion(path: Path) -> tuple[int, Any]:
    """Read an Acclaim motion: its count of numbers, and a function that poses it."""
    asf, amc = read_asf(find_asf(path)), read_amc(path)
    return sum(values.size for values in amc.values.values()), lambda: bone_ends(asf, amc)


def read_tree(path: Path) -> tuple[int, Any]:
    """Read a BVH file: its count of numbers, and a function that poses it."""
    bvh = read_bvh(path)
    return bvh.values.size, lambda: joint_positions(bvh)


READERS = {"asfamc": read_motion, "bvh": read_tree}


def prepare(subjects: list[Subject]) -> dict[str, Any]:
    """Prepare every subject and write its table."""
    started = time.perf_counter()
    rows = [row for subject in subjects for row in prepare_subject(subject)[0]]
    seconds = time.perf_counter() - started
    frames = sum(row.kept for row in rows)
    return {
        "files": len(rows),
        "frames": frames,
        "prepare_seconds": round(seconds, 2),
        "prepare_frames_per_second": round(frames / seconds),
    }


def tables(folder: Path, data: DataSettings) -> dict[str, Any]:
    """Read every table that was written, and write what was read."""
    paths, started = sorted(folder.glob("*.parquet")), time.perf_counter()
    found = [read_table(path, kind="recordings", skeleton=data.skeleton, fps=data.fps) for path in paths]
    read = time.perf_counter()
    rows = sum(write_table(folder / "again.parquet", [columns], metadata) for columns, metadata in found)
    written = time.perf_counter()
    return {
        "parquet_megabytes": round(sum(path.stat().st_size for path in paths) / 1e6, 1),
        "read_frames_per_second": round(rows / (read - started)),
        "write_frames_per_second": round(rows / (written - read)),
    }


if __name__ == "__main__":
    main()
