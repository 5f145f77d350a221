import subprocess
from pathlib import Path

from pipelines.job import entrypoint


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
