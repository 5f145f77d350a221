"""A sweep through Ray Tune and MLflow as a user runs it: two architectures in one, then again."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import sweep
from pipelines.params import load
from pipelines.settings import HalvingSettings, SweptKey
from pipelines.settings.data import GroupSettings, LabelSettings, SplitSettings, ValidationSettings
from pipelines.tracking import store
from tests.unit.factories import finetune_settings, model_settings, sequences, write_projections

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.slow]
SPACE = (SweptKey("model.architecture", ("mixste", "stcformer")), SweptKey("model.depth", (1, 2)))


@pytest.fixture
def params(tracked_workplace, monkeypatch):
    """Three trials of two epochs, the worst of which need not be trained to their ends."""
    for number, subject in enumerate(("S1", "S2")):
        data = replace(sequences((12, 10), seed=number), subjects=(subject, subject))
        write_projections(Path(f"datasets/projections/rig/sample-{subject}.parquet"), data, detections="simulated")
    plain = load()
    split = SplitSettings(LabelSettings(("S1",)), ValidationSettings(("S2",)), GroupSettings(("S9",)))
    halving = HalvingSettings(grace=1, reduction=2)
    params = replace(
        plain,
        data=replace(plain.data, split=split),
        model=model_settings(drop_path=0.0),
        finetune=finetune_settings(epochs=2, batch_size=2, validation_windows=2),
        sweep=replace(plain.sweep, space=SPACE, searcher="grid", trials=3, halving=halving),
    )
    monkeypatch.setattr(sweep, "load", lambda: params)
    return params


def test_a_sweep_through_ray_tune_reports_and_is_not_trained_twice(params):
    sweep.main()
    with (sweep.SWEEP / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [(row["model.architecture"], row["model.depth"]) for row in rows]
    assert found == [("mixste", "1"), ("mixste", "2"), ("stcformer", "1")]
    assert {row["status"] for row in rows} <= {"trained", "stopped early"}
    assert "2" in {row["epochs"] for row in rows}
    assert all(float(row["validation_mpjpe"]) > 0 and float(row["seconds"]) > 0 for row in rows)

    client, parent = store.client(store.default_store()), store.find_run(store.default_store(), "stage", "sweep")
    experiments = [one.experiment_id for one in client.search_experiments()]
    children = client.search_runs(experiments, f"tags.`mlflow.parentRunId` = '{parent}'")
    logged = {
        one.info.run_name: [point.step for point in client.get_metric_history(one.info.run_id, "validation_mpjpe")]
        for one in children
    }
    assert logged == {f"trial {number}": [1, 2][: int(row["epochs"])] for number, row in enumerate(rows)}
    assert {one.info.status for one in children} == {"FINISHED"}

    reports = {path.name: path.read_bytes() for path in sweep.SWEEP.iterdir()}
    sweep.main()
    assert {path.name: path.read_bytes() for path in sweep.SWEEP.iterdir()} == reports
    assert len(client.search_runs(experiments, f"tags.`mlflow.parentRunId` = '{parent}'")) == 3
