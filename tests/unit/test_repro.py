import os
import stat
from pathlib import Path

import pytest

from pipelines import cluster, repro

pytestmark = pytest.mark.usefixtures("workplace")
DVC = """#!/bin/sh
echo "$@" "${RAY_ADDRESS:-alone}" >> calls
case $1 in status) exit "$(cat changed)";; *) exit 3;; esac
"""


@pytest.fixture
def calls(workplace: Path, monkeypatch):
    """Put a `dvc` in the way whose `status` says what the file `changed` holds; returns what it was called with."""
    program = workplace / "bin/dvc"
    program.parent.mkdir()
    program.write_text(DVC)
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    (workplace / "changed").write_text("1")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(cluster, "connect", lambda address=None, *, dashboard: None)
    monkeypatch.setattr(cluster, "way_to_join", lambda: {"RAY_ADDRESS": "127.0.0.1:6379"})
    return lambda: (workplace / "calls").read_text().splitlines()


def test_stages_join_one_ray_and_the_status_is_dvcs(calls):
    assert repro.reproduce(["evaluate"]) == 3
    assert calls() == ["status --quiet evaluate alone", "repro evaluate 127.0.0.1:6379"]


def test_where_nothing_is_to_do_no_ray_is_started(calls):
    Path("changed").write_text("0")
    repro.reproduce([])
    assert calls() == ["status --quiet dvc.yaml alone", "repro alone"]


def test_what_is_forced_runs_on_one_ray(calls):
    Path("changed").write_text("0")
    repro.reproduce(["--force", "evaluate"])
    assert calls() == ["repro --force evaluate 127.0.0.1:6379"]


def test_a_cluster_that_is_named_is_joined_as_ever(calls, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    repro.reproduce([])
    assert calls() == ["repro 10.0.0.1:6379"]
