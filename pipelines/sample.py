"""Write the synthetic sample: `python -m pipelines.sample [FOLDER]`, by default into data/sample."""

import logging
import sys
from pathlib import Path

from mixste.sample import write_sample
from pipelines.process.stage import run


def main() -> None:
    """Write the sample into the folder named on the command line."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("data/sample")
    files = write_sample(folder)
    size = sum(file.stat().st_size for file in files) / 1e6
    logging.getLogger(__name__).info("wrote %d files, %.1f MB of synthetic motion, into %s", len(files), size, folder)


if __name__ == "__main__":
    run(main)
