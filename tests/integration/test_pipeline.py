"""What a user runs: `dvc repro` of the whole pipeline, short, in a copy of the checkout; then what users do with it."""

import json
import shutil

import pytest
import yaml

from benchmarks.drills.checkout import SHORT, environment, make_checkout, run
from pipelines.tracking import store

pytestmark = pytest.mark.timeout(900)  # the first test waits for the whole pipeline
REPRO = ("python", "-m", "pipelines.repro")
STAGES = ("prepare", "project", "pretrain", "scratch", "finetune", "evaluate", "register")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the tracked files, a git repository of its own, its sample and its pipeline run once."""
    folder = make_checkout(tmp_path_factory.mktemp("user") / "mixste", *SHORT)
    run(*REPRO, cwd=folder)
    return folder


def locked(checkout, stage):
    """The hashes of a stage's outputs in dvc.lock."""
    lock = yaml.safe_load((checkout / "dvc.lock").read_text())
    return {out["path"]: out["md5"] for out in lock["stages"][stage]["outs"]}


def test_every_model_is_scored_in_finite_numbers(checkout):
    metrics = json.loads((checkout / "reports/evaluation/metrics.json").read_text())
    for model in ("scratch", "finetuned", "pretrained"):
        for own in (metrics[model], metrics[model]["as_published"]):
            assert 0 < own["p_mpjpe"] <= own["mpjpe"] < 2000


def test_the_figures_and_the_clip_are_there(checkout):
    names = {path.name for path in (checkout / "reports/evaluation").iterdir()}
    figures = {"learning_curves.png", "per_action.png", "per_joint.png", "clip.gif", "clip.html"}
    assert figures | {"per_subject.csv"} <= names
    assert "only our own rows" in (checkout / "reports/evaluation/table.md").read_text()


def test_a_second_repro_runs_nothing_and_starts_no_ray(checkout, tmp_path):
    assert "Running stage" not in run(*REPRO, cwd=checkout, env=environment(RAY_TMPDIR=str(tmp_path)))
    assert not list(tmp_path.iterdir())


def test_all_again_from_the_start_writes_the_same_bytes(checkout):
    again = ("prepare", "project", "scratch")
    before = [locked(checkout, stage) for stage in again]
    shutil.rmtree(checkout / "runs")
    run(*REPRO, "--force", "--single-item", *again, cwd=checkout)
    assert [locked(checkout, stage) for stage in again] == before


def test_dvc_shows_metrics_and_plots(checkout):
    assert "pretraining_gain_mpjpe" in run("dvc", "metrics", "show", cwd=checkout)
    run("dvc", "plots", "show", "--out", "plots", cwd=checkout)
    assert "validation_mpjpe" in (checkout / "plots/index.html").read_text()


def test_mlflow_holds_a_run_of_every_stage(checkout):
    client = store.client(f"sqlite:///{checkout}/mlflow.db")
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert {run.data.tags["stage"] for run in runs} == set(STAGES)
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_the_champion_lifts_from_another_folder(checkout, tmp_path):
    script = f"""
import mlflow, numpy as np
mlflow.set_tracking_uri("sqlite:///{checkout}/mlflow.db")
model = mlflow.pyfunc.load_model("models:/mixste@champion")
pixels = np.random.default_rng(0).uniform(0, 1000, (9, 17, 2))
motion = model.predict(pixels, params={{"skeleton": "coco17", "fps": 30, "image_size": [1000, 1000]}})
print("lifted", np.shape(motion["joints"]))
"""
    assert "lifted (9, 17, 3)" in run("python", "-c", script, cwd=tmp_path)
