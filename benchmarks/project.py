"""Seconds to see one million frames of 17 joints through the rig's cameras, with and without simulated detections.

    python -m benchmarks.project [--frames 1000000] [--processes 2] [--json FILE]

The work is split over processes as the stage splits it over tasks; everything stays in memory.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from mixste.cameras import load_rig
from mixste.detector import DetectorSettings
from mixste.projection import Trial, ViewSettings, random_views, rig_views
from mixste.skeleton import load_skeleton

CLIP = 2000
SKELETON = load_skeleton("h36m17")
RIG = load_rig("h36m")


def walk(frames: int, seed: int) -> np.ndarray:
    """Return joints (t 17 3), metres, world, of a body-sized cloud that wanders over the ground."""
    rng = np.random.default_rng(seed)
    body = rng.normal((0, 0, 0.95), (0.25, 0.25, 0.45), (17, 3))
    sway = np.cumsum(rng.normal(0, 0.004, (frames, 17, 3)), axis=0)
    sway -= np.linspace(sway[0], sway[-1], frames)
    return (body + 0.3 * np.tanh(sway)).astype(np.float32)


def project_only(trial: Trial) -> None:
    """World to camera to screen, with distortion."""
    for camera in RIG.cameras:
        camera.see(trial.joints)


def with_detector(trial: Trial) -> None:
    """The rig as the stage sees it: parts, projection, simulated detections."""
    list(rig_views(trial, RIG, 1.5, skeleton=SKELETON, fps=50.0, detector=DetectorSettings(), seed=0))


def random(trial: Trial) -> None:
    """The random views of pre-training."""
    list(random_views(trial, ViewSettings(), skeleton=SKELETON, seed=0))


CASES = {"projection": project_only, "rig with detections": with_detector, "random views": random}


def work(job: tuple[str, int, int]) -> tuple[float, float]:
    """Run one case on `frames` frames, four views of a quarter; return CPU seconds and peak memory, MiB."""
    name, frames, seed = job
    joints, function, start = walk(CLIP, seed), CASES[name], time.process_time()
    for clip in range(max(1, frames // (4 * CLIP))):
        function(Trial("benchmark", str(seed), str(clip), joints))
    return time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, frames: int, processes: int, run: Callable[..., list[tuple[float, float]]]) -> dict[str, float]:
    """Time one case; frames are those that come out, one a view."""
    start = time.perf_counter()
    cpu, peaks = zip(*run(work, [(name, frames // processes, seed) for seed in range(processes)]), strict=True)
    seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(sum(cpu), 3),
        "frames_per_second": round(frames / seconds),
        "peak_mib": round(max(peaks)),
    }


def main() -> None:
    """Print a table and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with get_context("fork").Pool(options.processes) as pool:
        pool.map(work, [(name, 4 * CLIP, 0) for name in CASES])
        rows = {name: measure(name, options.frames, options.processes, pool.map) for name in CASES}
    print(f"{options.frames} frames of {len(SKELETON.joints)} joints, {options.processes} processes")
    for name, row in rows.items():
        print(f"  {name:20}", *(f"{key} {value:,}" for key, value in row.items()), sep="   ")
    if options.json:
        result = {"frames": options.frames, "processes": options.processes, "cases": rows}
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
