"""`make job`: `dvc repro` on a real cluster of two nodes that wants a token, from the submission to the exit status."""

import os
import signal
import subprocess
import sys

import pytest
import yaml

from benchmarks.drills.checkout import SHORT, environment, make_checkout, run
from benchmarks.drills.machines import machines, wait_until

pytestmark = pytest.mark.timeout(600)
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a-token-of-this-test-" + "0" * 32}
TWO = ("cluster.workers=2", "cluster.cpus_per_worker=1")
JOB = (sys.executable, "-m", "pipelines.job")


@pytest.fixture(scope="module")
def cluster():
    """A head and a second node with one CPU each, so that two workers are one on each."""
    with machines(**TOKEN) as started:
        started.add()
        yield started


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return make_checkout(tmp_path_factory.mktemp("user") / "mixste", *SHORT, *TWO)


@pytest.fixture
def shell(cluster, checkout):
    """The environment of the user who submits."""
    return environment(RAY_API_SERVER_ADDRESS=cluster.jobs, PYTHONPATH=str(checkout), **TOKEN)


def submit(checkout, shell, *targets):
    return subprocess.run([*JOB, *targets], cwd=checkout, env=shell, capture_output=True, text=True, timeout=300)


def test_a_job_trains_on_both_nodes_and_leaves_outputs_and_lock_in_the_checkout(checkout, shell):
    done = submit(checkout, shell, "scratch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scratch  epoch 2/2" in done.stdout
    assert (checkout / "models/scratch/model.safetensors").exists()
    lock = yaml.safe_load((checkout / "dvc.lock").read_text())
    assert set(lock["stages"]) == {"prepare", "project", "scratch"}
    assert "didn't change" in run("dvc", "repro", "scratch", cwd=checkout)


def test_a_stage_that_fails_fails_the_job_with_its_message(checkout, shell):
    params = (checkout / "params.yaml").read_text()
    (checkout / "params.yaml").write_text(params.replace("seed: 0", "seed: true", 1))
    done = submit(checkout, shell, "project")
    (checkout / "params.yaml").write_text(params)
    assert done.returncode != 0
    assert "seed: found True, expected a whole number" in done.stdout


@pytest.mark.parametrize("token", ["another-token-" + "1" * 32, None], ids=["wrong", "none"])
def test_without_the_clusters_token_nothing_is_submitted(checkout, shell, token, tmp_path):
    env = {**shell, "HOME": str(tmp_path)}
    env.pop("RAY_AUTH_TOKEN")
    done = submit(checkout, env | ({"RAY_AUTH_TOKEN": token} if token else {}))
    assert done.returncode == 1
    assert "refuses this token" in done.stderr
    assert "RAY_AUTH_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


def test_interrupting_stops_the_job_and_all_that_it_started(checkout, shell, cluster):
    run("python", "-m", "pipelines.params", *SHORT, *TWO, "finetune.epochs=500", cwd=checkout)
    process = subprocess.Popen(
        [*JOB, "scratch"],
        cwd=checkout,
        env=shell,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in a shell's background ignore it
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 1/" in line:  # its workers are at work
            break
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=90) == 130
    assert "is stopped" in process.stdout.read()
    wait_until(lambda: str(checkout) not in run("ps", "axww", "-o", "args", cwd=checkout), "the stage ends")


def test_a_ray_of_our_own_is_not_the_one_that_someone_else_started_here_and_listens_on_this_machine_alone(
    shell, cluster, checkout
):
    code = """
import os, psutil
from pipelines import cluster

cluster.fan_out(lambda number: number, range(2), "workers that listen, too")
import ray
print("nodes", len(ray.nodes()), "of", ray.get_runtime_context().gcs_address)
family = psutil.Process().children(recursive=True)
ports = [port for one in family for port in one.net_connections("tcp") if port.status == psutil.CONN_LISTEN]
print(len(ports) > 3, {port.laddr.ip.removeprefix("::ffff:") for port in ports}, "RAY_ENABLE" in str(os.environ))
"""
    printed = run("python", "-c", code, cwd=checkout, env=shell | {"RAY_TMPDIR": str(cluster.folder)})
    assert "nodes 1 of" in printed
    assert str(cluster.port) not in printed
    assert printed.strip().endswith("True {'127.0.0.1'} False")


@pytest.mark.slow
def test_a_training_s_own_ray_listens_in_this_machine_alone(shell, checkout):
    code = """
from dataclasses import replace
from pathlib import Path
from mixste.errors import MixsteError
from pipelines import distributed
from pipelines.params import load

settings = replace(load().cluster, workers=1000, cpus_per_worker=1)
try:
    distributed.train(None, {}, folder=Path("run"), settings=settings, on_records=print)
except MixsteError as error:
    print(error)
import ray
print({node["NodeManagerAddress"] for node in ray.nodes()})
"""
    printed = run("python", "-c", code, cwd=checkout, env=shell)
    assert "the cluster is too small" in printed
    assert printed.strip().endswith("{'127.0.0.1'}")
