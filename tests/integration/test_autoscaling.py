"""A cluster without a CPU whose autoscaler starts machines when it is asked for them (Ray's provider for tests)."""

import pytest

from benchmarks.drills.checkout import SHORT, environment, make_checkout, run
from benchmarks.drills.machines import machines

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
ONE_CPU = ("cluster.cpus_per_worker=1", "cluster.gpus_per_worker=0", "cluster.precision=fp32")
TASKS = """
import logging
from pipelines import cluster

logging.basicConfig(level=logging.INFO)
found = cluster.fan_out(lambda number: number, range(1), "numbers")
import ray
print(found, ray.cluster_resources()["CPU"])
"""


@pytest.fixture(scope="module")
def cluster():
    with machines(cpus=0, grows_to=2) as started:
        yield started


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Data is ready, by a Ray of this machine."""
    made = make_checkout(
        tmp_path_factory.mktemp("user") / "mixste", *SHORT, "cluster=autoscaling", "cluster.address=null", *ONE_CPU
    )
    run("dvc", "repro", "project", cwd=made, env=environment(PYTHONPATH=str(made)))
    return made


def test_tasks_and_trainings_wait_for_the_machines_that_they_ask_for(checkout, cluster):
    shell = environment(RAY_ADDRESS=cluster.address, RAY_TMPDIR=str(cluster.folder), PYTHONPATH=str(checkout))
    tasks, training = ("python", "-c", TASKS), ("python", "-m", "pipelines.finetune", "--from", "scratch")
    printed = run(*tasks, cwd=checkout, env=shell)
    assert "numbers  no machine of the cluster has a CPU; waiting for one that has" in printed
    assert "[0] 1.0" in printed
    assert "scratch  epoch 2/2" in run(*training, cwd=checkout, env=shell)
    assert "[0] 2.0" in run(*tasks, cwd=checkout, env=shell)
