"""A machine is lost while training, and another comes: `python -m benchmarks.drills.nodes`.

Two Ray nodes in this machine train with one worker each; one is killed at once with all its processes, and later
another joins. The curve is compared with that of the same training left alone.
"""

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.drills.machines import Machines, kill_tree, machines
from benchmarks.drills.stages import Curve, curve, differences, prepared, scratch
from benchmarks.drills.tables import Table
from mixste.models.checkpoint import read_tensors

EPOCHS = 12
LOST_AFTER, BACK_AFTER = 3, 6
TOLERANCE = 1e-3
MODEL = Path("models/scratch/model.safetensors")
SETTINGS = (
    *("cluster=elastic", "cluster.address=null"),
    *("cluster.workers=2", "cluster.cpus_per_worker=1", "cluster.gpus_per_worker=0"),
    *("cluster.resize_seconds=3", "cluster.precision=fp32"),
    "finetune.optimiser.lr=3e-4",  # at large rates a difference of rounding grows tenfold an epoch
    *(f"finetune.epochs={EPOCHS}", "finetune.windows_per_epoch=300", "finetune.validation_windows=64"),
)


def main() -> None:
    """Print what was found; exit status 1 if something does not hold."""
    table = Table("a machine is lost while training, and another comes")
    with tempfile.TemporaryDirectory() as folder, machines(RAY_AUTH_MODE="disabled") as cluster:
        second = cluster.add()
        checkout = prepared(Path(folder) / "mixste", *SETTINGS)
        expected, seconds = undisturbed(checkout, cluster)
        table.add("undisturbed: epochs, seconds", f"{len(expected)}, {seconds:.0f}", len(expected) == EPOCHS)
        disturbed(table, checkout, cluster, second.pid, seconds)
        found = differences(curve(checkout), expected)
        before, after = found[: LOST_AFTER - 1], found[LOST_AFTER - 1 :]
        table.add("relative differences of the loss, by epoch", " ".join(f"{value:.0e}" for value in found))
        table.add("... the same bytes before a node was lost", before, not any(before))
        table.add(
            "... largest afterwards, when one worker rounds where two did", f"{max(after):.0e}", max(after) < TOLERANCE
        )
        finite = all(bool(values.isfinite().all()) for values in read_tensors(checkout / MODEL).values())
        table.add("final weights are finite", finite, finite)
    table.finish()


def undisturbed(checkout: Path, cluster: Machines) -> tuple[Curve, float]:
    """Train with both nodes from beginning to end."""
    started = time.monotonic()
    with scratch(checkout, {**cluster.env, "RAY_ADDRESS": cluster.address}) as stage:
        if stage.end() != 0:
            raise RuntimeError(stage.text)
    history = curve(checkout)
    shutil.rmtree(checkout / "models")
    shutil.rmtree(checkout / "runs")
    return history, time.monotonic() - started


def disturbed(table: Table, checkout: Path, cluster: Machines, second: int, alone: float) -> None:
    """Train, kill the second node, start a third."""
    started = time.monotonic()
    with scratch(checkout, {**cluster.env, "RAY_ADDRESS": cluster.address}) as stage:
        stage.wait_for_epoch(LOST_AFTER)
        kill_tree(second)
        last = stage.epochs[-1]
        down = stage.wait_for_epoch(last + 1)
        table.add(f"node killed after epoch {last}: seconds to the next epoch", f"{down:.0f}")
        stage.wait_for_epoch(max(BACK_AFTER, last + 2))
        cluster.add()
        status = stage.end()
    table.add("exit status", status, status == 0)
    table.add("epochs reported", stage.epochs, stage.epochs == list(range(1, EPOCHS + 1)))
    for line in (line for line in stage.text.splitlines() if "room for" in line):
        table.add("told", line)
    smaller, grown = ("room for 1 of 2" in stage.text, "room for 2 of 2" in stage.text)
    table.add("went on with fewer, then with all again", f"{smaller}, {grown}", smaller and grown)
    table.add("seconds more than undisturbed", f"{time.monotonic() - started - alone:.0f}")


if __name__ == "__main__":
    main()
