import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.job_submission import JobStatus

from mixste.errors import MixsteError
from pipelines import job
from pipelines.job import entrypoint, follow


def test_a_checkout_that_the_head_does_not_see_is_named(tmp_path):
    command = entrypoint(tmp_path / "not here", [])
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 1
    assert "head does not see" in done.stderr
    assert str(tmp_path / "not here") in done.stderr


def test_the_job_runs_dvc_in_the_checkout_and_ends_with_its_exit_status(tmp_path, monkeypatch):
    checkout, programs = tmp_path / "a checkout", tmp_path / "bin"
    checkout.mkdir()
    programs.mkdir()
    (programs / "dvc").write_text('#!/bin/sh\necho "$PWD: $*"\nexit 7\n')
    (programs / "dvc").chmod(0o755)
    monkeypatch.setattr("sys.executable", str(programs / "python"))
    command = entrypoint(checkout, ["scratch", "--force"])
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=Path.home())
    assert (done.stdout, done.returncode) == (f"{checkout}: repro scratch --force\n", 7)


def test_a_job_is_told_where_mlflow_is_without_the_password(monkeypatch):
    told = []
    client = SimpleNamespace(submit_job=lambda entrypoint, runtime_env: told.append(runtime_env["env_vars"]))
    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", lambda address: client)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ignored")  # conf names the experiment
    job.submit(job.ADDRESS, "true")
    assert told == [{"MLFLOW_TRACKING_URI": "http://host:5000"}]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, job.ADDRESS),
        ({"RAY_ADDRESS": "head:6379"}, "head:6379"),
        ({"RAY_ADDRESS": "http://head:8265"}, "http://head:8265"),
        ({"RAY_ADDRESS": "http://head:8265", "RAY_API_SERVER_ADDRESS": "http://other:8265"}, "http://other:8265"),
    ],
)
def test_a_job_is_said_to_go_where_ray_sends_it(monkeypatch, environment, expected):
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    for name, address in environment.items():
        monkeypatch.setenv(name, address)
    assert job.destination() == expected


class Cluster:
    """A job's log that is sent in parts, each time from its beginning; what is not text is raised."""

    def __init__(self, *connections, status=JobStatus.SUCCEEDED):
        self.connections, self.status, self.asked = list(connections), status, 0

    async def tail_job_logs(self, _):
        self.asked += 1
        for part in self.connections.pop(0) if self.connections else [RuntimeError("closed unexpectedly")]:
            if isinstance(part, Exception):
                raise part
            yield part

    def get_job_info(self, _):
        status = JobStatus.RUNNING if self.connections else self.status
        return SimpleNamespace(status=status, message="it failed", driver_exit_code=3)


def test_a_log_whose_connection_breaks_goes_on_where_it_was(monkeypatch, capsys):
    monkeypatch.setattr(job, "AGAIN_S", 0.0)
    gone = ConnectionError("refused")
    cluster = Cluster(
        ["epoch 1\n", "epo", RuntimeError("1006")], [gone], ["epoch 1\nep"], ["epoch 1\nepoch 2\n", "end\n"]
    )
    assert follow(cluster, "job") == 0
    assert capsys.readouterr().out == "epoch 1\nepoch 2\nend\n"


def test_a_job_that_fails_ends_with_its_status(capsys):
    assert follow(Cluster(["epoch 1\n"], status=JobStatus.FAILED), "job") == 3
    assert "error: job failed: it failed" in capsys.readouterr().err


def test_a_cluster_that_is_gone_is_not_asked_for_ever(monkeypatch):
    monkeypatch.setattr(job, "AGAIN_S", 0.0)
    monkeypatch.setattr(job, "SILENT_S", 0.05)
    cluster = Cluster(["epoch 1\n", RuntimeError("1006")], status=JobStatus.RUNNING)
    with pytest.raises(MixsteError, match=r"log of job cannot be followed.*closed unexpectedly.*the job goes on"):
        follow(cluster, "job")
    assert cluster.asked > 1
