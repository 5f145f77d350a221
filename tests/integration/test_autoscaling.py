"""A cluster without a CPU whose autoscaler starts machines when it is asked for them (Ray's provider for tests)."""

from pathlib import Path

import pytest

from benchmarks.drills.checkout import environment, run
from benchmarks.drills.machines import machines

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
ROOT = Path(__file__).parents[2]
ASKS = """
import logging
import sys
from pathlib import Path

from mixste.training.jobs import TrainingJob
from pipelines import cluster, distributed
from pipelines.distributed.worker import train_loop
from tests.unit.factories import (
    FPS, SKELETON, cluster_settings, finetune_settings, model_settings, sequences, write_projections
)

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
folder = Path(sys.argv[1])
there = lambda: ray.cluster_resources().get("CPU", 0)
print(cluster.fan_out(lambda number: number + 7, range(1), "numbers"))
import ray

print("machines with a CPU after a task:", there())
path = write_projections(folder / "sample-S1.parquet", sequences((12, 9)))
training = finetune_settings(epochs=2, batch_size=4, validation_windows=2)
job = TrainingJob(
    model=model_settings(), training=training, train=(path,), validation=(path,), skeleton=SKELETON, fps=FPS, seed=0
)
settings = cluster_settings(autoscaling=True, workers=2, storage=str(folder))
tell = lambda records, trained: print(*(f"epoch {record['epoch']:g}" for record in records))
distributed.train(train_loop, {"job": job}, folder=folder / "run", settings=settings, on_records=tell)
print("machines with a CPU after a training:", there())
"""


def test_tasks_and_trainings_wait_for_the_machines_that_they_ask_for(tmp_path):
    with machines(cpus=0, grows_to=2) as growing:
        where = {"RAY_ADDRESS": growing.address, "RAY_TMPDIR": str(growing.folder), "PYTHONPATH": str(ROOT)}
        printed = run("python", "-c", ASKS, str(tmp_path), cwd=ROOT, env=environment(**where))
    assert "numbers  no machine of the cluster has a CPU; waiting for one that has\n" in printed
    assert "\n[7]\n" in printed
    assert "machines with a CPU after a task: 1.0" in printed
    assert "epoch 2" in printed
    assert "machines with a CPU after a training: 2.0" in printed
