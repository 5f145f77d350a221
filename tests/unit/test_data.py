"""What `make data`, `make repro` and `make ui` say: the sample is made, changed data is named, results are shown."""

import json
import logging
from pathlib import Path

import pytest
import yaml

from mixste.errors import MixsteError
from pipelines import data, show, store, tracking, ui
from pipelines.params import load, write


def test_the_sample_is_the_one_that_is_committed(root: Path, workplace: Path):
    data.provide(Path("data/sample"), synthetic=True)
    Path("data.dvc").write_text((root / "data.dvc").read_text())
    assert data.difference() is None


def test_changed_data_is_said_plainly(workplace: Path, caplog: pytest.LogCaptureFixture):
    Path("data/sample").mkdir(parents=True)
    Path("data/sample/one.bvh").write_text("HIERARCHY")
    Path("data.dvc").write_text(yaml.safe_dump({"outs": [{"md5": "0" * 32 + ".dir", "path": "data"}]}))
    with caplog.at_level(logging.WARNING):
        data.main()
    assert "data/ is not what data.dvc names" in caplog.text
    assert Path("data/sample/one.bvh").exists()


def test_data_that_was_never_added_is_said_plainly(workplace: Path):
    assert "dvc add data" in str(data.difference())


def test_absent_real_data_is_a_clear_error(workplace: Path):
    write(["data=cmu"])
    with pytest.raises(MixsteError, match=r"no captures in data/cmu.*dvc pull"):
        data.main()


def test_results_are_shown_as_a_table(workplace: Path, capsys: pytest.CaptureFixture[str]):
    scores = {"mpjpe": 101.25, "p_mpjpe": 80.0, "n_mpjpe": 90.0, "mpjve": 5.0}
    metrics = {
        "scratch": scores,
        "finetuned": {**scores, "mpjpe": 99.0},
        "pretraining_gain_mpjpe": 2.25,
        "test_data": "h",
    }
    show.METRICS.parent.mkdir(parents=True)
    show.METRICS.write_text(json.dumps(metrics))
    show.main()
    shown = capsys.readouterr().out
    assert "synthetic motion, simulated detections" in shown
    assert "99.0" in shown
    assert "lowers MPJPE by 2.2 mm" in shown


def test_without_results_there_is_nothing_to_show(workplace: Path):
    with pytest.raises(MixsteError, match="make repro"):
        show.main()


def test_the_ui_opens_at_the_comparison(tracked_workplace: Path):
    params, uri = load(), store.tracking_uri()
    assert ui.comparison("http://h", uri, params.tracking.experiment) == "http://h"
    for stage in ("scratch", "finetune"):
        with tracking.run(stage, params):
            pass
    page = ui.comparison("http://h", uri, params.tracking.experiment)
    assert page.startswith("http://h/#/compare-runs?runs=")
    assert all(str(tracking.last_run(stage)) in page for stage in ("scratch", "finetune"))
