"""The disk is full while a checkpoint is written: `python -m benchmarks.drills.disk`, as root, which may mount.

The checkpoints are on a disk of a few megabytes of its own (a tmpfs), which is filled while a stage trains: to the last
byte, and so that half a checkpoint has room. Then room is made, and the same command is given again.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.drills.checkout import environment
from benchmarks.drills.stages import prepared, scratch, weights
from benchmarks.drills.tables import Table

MEGABYTES = 8
EPOCHS = 6
SETTINGS = (
    *(f"finetune.epochs={EPOCHS}", "finetune.windows_per_epoch=400", "finetune.validation_windows=64"),
    "cluster.workers=1",
)
FILE = "training.safetensors"


def main() -> None:
    """Print what was found; exit status 1 if something does not hold."""
    table = Table("the disk is full while a checkpoint is written")
    with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder) / "disk") as disk:
        checkout = prepared(Path(folder) / "mixste", *SETTINGS, f"cluster.storage={disk}")
        with scratch(checkout, environment()) as stage:
            if stage.end():
                raise RuntimeError(stage.text)
        expected = weights(checkout)
        size = max(path.stat().st_size for path in disk.rglob(FILE))
        table.add("undisturbed: weights; bytes of a checkpoint", f"{expected}; {size}")
        for what, left in (("no byte left", 0), ("half a checkpoint has room", size // 2)):
            forget(checkout, disk)
            fill_while_training(table, checkout, disk, what, left, expected)
    table.finish()


def fill_while_training(table: Table, checkout: Path, disk: Path, what: str, left: int, expected: str) -> None:
    """Fill the disk after an epoch, let the stage fail, make room, and give the same command again."""
    with scratch(checkout, environment()) as stage:
        stage.wait_for_epoch(2)
        ballast = fill(disk, left)
        since = time.monotonic()
        status = stage.end()
        clear = status == 1 and "no space left" in stage.message() and str(disk) in stage.message()
        clear = clear and "Traceback" not in stage.text
        table.add(f"{what}: message", stage.message() if clear else stage.text, clear)
        table.add(f"{what}: seconds until then", f"{time.monotonic() - since:.0f}")
        epochs = stage.epochs
    ballast.unlink()
    with scratch(checkout, environment()) as stage:
        status = stage.end()
        table.add(f"{what}: epochs before, and after room was made", f"{epochs}, {stage.epochs}", status == 0)
        kept = min(stage.epochs, default=EPOCHS + 1) - 1
        table.add(f"{what}: epochs of the last good checkpoint", kept, kept >= 2)
    found = weights(checkout)
    table.add(f"{what}: the same weights", found, found == expected)


def fill(disk: Path, left: int) -> Path:
    """Write a file that leaves so many bytes of the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - left))
    return ballast


def forget(checkout: Path, disk: Path) -> None:
    """Remove the model, what the checkout keeps of its training, and the checkpoints."""
    for folder in (checkout / "runs", checkout / "models", *disk.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """Mount a disk of a few megabytes."""
    place.mkdir(parents=True)
    subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(place)), check=True)
    try:
        yield place
    finally:
        subprocess.run(("umount", "--lazy", str(place)), check=True)


if __name__ == "__main__":
    main()
