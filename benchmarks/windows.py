"""Windows from memory: frames a second that `mixste.windows.gather` delivers to a training step.

python -m benchmarks.windows [--json FILE]
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from mixste.windows import cut, gather


def measure(frames: int, batch: int, *, clips: int = 2000, clip_frames: int = 243, repeats: int = 5) -> float:
    """Median frames a second of keypoints and joints (17 joints, 3 numbers each) in random windows."""
    total = clips * clip_frames
    keypoints, joints = torch.rand(total, 17, 3), torch.rand(total, 17, 3)
    windows = cut(torch.arange(0, total + 1, clip_frames), frames, max(1, frames // 3))
    order = torch.randperm(len(windows))
    batches = order[: batch * (len(order) // batch)].view(-1, batch)[:400]
    rates = []
    for _ in range(repeats):
        started = time.perf_counter()
        for which in batches:
            index = windows.index(which)
            gather(keypoints, index)
            gather(joints, index)
        rates.append(batches.numel() * frames / (time.perf_counter() - started))
    return statistics.median(rates)


def main() -> None:
    """Print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        {"frames": t, "batch": b, "frames_per_second": round(measure(t, b))} for t in (27, 81, 243) for b in (8, 64)
    ]
    print(f"{'T':>5} {'batch':>6} {'M frames/s':>11}   one thread, keypoints and joints")
    for row in rows:
        print(f"{row['frames']:>5} {row['batch']:>6} {row['frames_per_second'] / 1e6:>11.1f}")
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
