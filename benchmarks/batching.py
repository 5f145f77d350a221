"""What dynamic batching brings: requests of 16 threads, each lifted by itself or all windows together, in turns.

    python -m benchmarks.batching [--model models/finetuned] [--frames 9 30 100] [--seconds 10] [--device cpu]

No server is between. Prints a Markdown table of clips/s: the mean of three turns each, the smallest and the largest.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.load import PARAMS, clip
from mixste.lifter import fitting_batch
from mixste.models.checkpoint import load_model
from mixste.payload import Answering
from pipelines.serving.batching import Together

THREADS, TURNS = 16, 3


def answering(folder: Path, device: str, *, together: bool) -> Answering:
    """A model that lifts for each caller by itself, or for all together as a replica does."""
    model, config = load_model(folder)
    most = fitting_batch(model)
    shared = Together(model, most=most, precision="fp32") if together else model
    return Answering(shared, config, device=device, batch_size=most)


def rate(ask: Answering, frames: int, seconds: float) -> float:
    """Clips a second of so many frames that the threads get lifted."""
    keypoints, until = clip(frames, 0), time.monotonic() + seconds

    def lift(_: int) -> int:
        count = 0
        while time.monotonic() < until:
            ask(keypoints, PARAMS)
            count += 1
        return count

    begun = time.monotonic()
    with ThreadPoolExecutor(THREADS) as threads:
        done = sum(threads.map(lift, range(THREADS)))
    return done / (time.monotonic() - begun)


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
    print("| frames | each by itself, clips/s | together, clips/s |\n|---|---|---|")
    for frames in options.frames:
        rates = [[rate(ask, frames, options.seconds) for ask in both] for _ in range(TURNS)]
        cells = [f"{sum(own) / TURNS:.1f} ({min(own):.1f} to {max(own):.1f})" for own in zip(*rates, strict=True)]
        print(f"| {frames} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
