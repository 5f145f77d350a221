"""What dynamic batching brings: requests of 16 threads, each lifted by itself or all windows together, in turns.

    python -m benchmarks.batching [--model models/finetuned] [--frames 9 30 100] [--seconds 10] [--device cpu]

No server is between. Prints a Markdown table of clips/s, which other jobs disturb, and of the
process's own time for a clip, which they hardly do: the mean of three turns each, the smallest and the largest.
"""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from benchmarks.load import PARAMS, clip
from mixste.inference import fitting_batch
from mixste.models.checkpoint import load_model
from mixste.payload import Answering
from pipelines.serving.batching import Together

THREADS, TURNS = 16, 3


def answering(folder: Path, device: str, *, together: bool) -> Answering:
    """A model that lifts for each caller by itself, or for all together as a replica does."""
    model, config = load_model(folder)
    most = fitting_batch(model, torch.device(device))
    shared = Together(model, most=most, precision="fp32") if together else model
    return Answering(shared, config, device=device, batch_size=most)


def rate(ask: Answering, frames: int, seconds: float) -> tuple[float, float]:
    """Clips a second of so many frames that the threads get lifted, and ms of CPU time for each."""
    keypoints, until = clip(frames, 0), time.monotonic() + seconds

    def lift(_: int) -> int:
        count = 0
        while time.monotonic() < until:
            ask(keypoints, PARAMS)
            count += 1
        return count

    begun, used = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(THREADS) as threads:
        done = sum(threads.map(lift, range(THREADS)))
    return done / (time.monotonic() - begun), 1000 * (time.process_time() - used) / done


def spread(values: Sequence[float]) -> str:
    """The mean, the smallest and the largest."""
    return f"{sum(values) / len(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    """Print a line for each length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--model", type=Path, default=Path("models/finetuned"))
    option("--frames", type=int, nargs="+", default=[9, 30, 100])
    option("--seconds", type=float, default=10)
    option("--device", default="cpu")
    options = parser.parse_args()
    both = [answering(options.model, options.device, together=together) for together in (False, True)]
    print("| frames | clips/s: each by itself | together | ms of CPU a clip: each by itself | together |")
    print("|---|---|---|---|---|")
    for frames in options.frames:
        turns = [[rate(ask, frames, options.seconds) for ask in both] for _ in range(TURNS)]
        (alone, alone_cpu), (together, together_cpu) = (zip(*own, strict=True) for own in zip(*turns, strict=True))
        cells = map(spread, (alone, together, alone_cpu, together_cpu))
        print(f"| {frames} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
