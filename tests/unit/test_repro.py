import json
import os
import stat
from pathlib import Path

import pytest
import yaml

from mixste.errors import MixsteError
from pipelines import cluster, repro

pytestmark = pytest.mark.usefixtures("workplace")
DVC = """#!/bin/sh
echo "$@" "${RAY_ADDRESS:-alone}" >> calls
case $1 in --wait-for-lock) shift;; status) cat changed; exit;; esac
while test -e "wait $2 $3" && ! grep -q scratch calls; do sleep 0.1; done
exit "$(cat "status $2 $3" 2>/dev/null || echo 0)"
"""
JOINED = "127.0.0.1:6379"


@pytest.fixture
def calls(workplace: Path, monkeypatch):
    """Put a `dvc` in the way for which the stages in `changed` have changed; returns what it was called with.

    It ends with what the file `status ARGUMENTS` holds; where there is `wait ARGUMENTS`, once `scratch` has begun.
    """
    program = workplace / "bin/dvc"
    program.parent.mkdir()
    program.write_text(DVC)
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    changed("evaluate")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(cluster, "connect", lambda address=None, *, dashboard: None)
    monkeypatch.setattr(cluster, "way_to_join", lambda: {"RAY_ADDRESS": JOINED})
    return lambda: (workplace / "calls").read_text().splitlines()


def changed(*stages: str) -> None:
    Path("changed").write_text(json.dumps({stage: ["changed deps"] for stage in stages}))


def test_stages_join_one_ray_and_the_status_is_dvcs(calls):
    Path("status evaluate ").write_text("3")
    assert repro.reproduce(["evaluate"]) == 3
    assert calls() == ["status --json evaluate alone", f"repro evaluate {JOINED}"]


def test_where_nothing_is_to_do_no_ray_is_started(calls):
    changed()
    assert repro.reproduce([]) == 0
    assert calls() == ["status --json dvc.yaml alone", "repro alone"]


def test_a_uri_that_mlflow_can_never_use_is_refused_before_anything_starts(calls, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlflow.db")
    with pytest.raises(MixsteError, match=f"MLFLOW_TRACKING_URI=sqlite:///{Path.cwd()}/mlflow.db"):
        repro.reproduce([])
    assert not Path("calls").exists()


def test_what_is_forced_runs_on_one_ray(calls):
    changed()
    repro.reproduce(["--force", "evaluate"])
    assert calls() == [f"repro --force evaluate {JOINED}"]


def test_a_cluster_that_is_named_is_joined_as_ever(calls, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    repro.reproduce([])
    assert calls() == ["repro 10.0.0.1:6379"]


def test_the_trainings_that_do_not_need_each_other_run_at_once(calls, monkeypatch):
    changed("pretrain", "scratch", "finetune")
    monkeypatch.setattr(repro, "HEAD_START_S", 0.1)
    Path("wait --single-item pretrain").touch()  # it ends when `scratch` has run
    assert repro.reproduce([]) == 0
    both = [f"--wait-for-lock repro --single-item {stage} {JOINED}" for stage in ("pretrain", "scratch")]
    assert calls() == ["status --json dvc.yaml alone", f"repro project {JOINED}", *both, f"repro {JOINED}"]


@pytest.mark.parametrize(("stage", "count"), [("project", 2), ("pretrain", 3), ("scratch", 4)])
def test_what_comes_after_a_stage_that_fails_does_not_run(calls, stage, count):
    changed("pretrain", "scratch", "finetune")
    Path("status project " if stage == "project" else f"status --single-item {stage}").write_text("4")
    assert repro.reproduce([]) == 4
    assert len(calls()) == count


def test_trainings_that_take_a_gpu_run_in_turn(calls):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["cluster"]["gpus_per_worker"] = 1
    Path("params.yaml").write_text(yaml.safe_dump(params))
    changed("pretrain", "scratch")
    repro.reproduce([])
    assert calls()[1:] == [f"repro {JOINED}"]


def test_a_status_that_dvc_cannot_tell_is_left_to_its_repro(calls):
    Path("changed").unlink()
    repro.reproduce([])
    assert calls()[1:] == [f"repro {JOINED}"]
