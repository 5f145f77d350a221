"""What the last run came to, on a terminal."""

import json
from pathlib import Path

import pytest

from mixste.errors import MixsteError
from pipelines import show


def test_results_are_shown_as_a_table(workplace: Path, capsys: pytest.CaptureFixture[str]):
    scores = {"mpjpe": 101.25, "p_mpjpe": 80.0, "n_mpjpe": 90.0, "mpjve": 5.0, "as_published": {"mpjpe": 103.5}}
    metrics = {
        "scratch": scores,
        "finetuned": {**scores, "mpjpe": 99.0},
        "pretraining_gain_mpjpe": 2.25,
        "test_data": "h",
        "protocol": "h36m",
        "detections": "CPN",
        "left_out": {"pretrained": "it lifts nothing"},
    }
    show.METRICS.parent.mkdir(parents=True)
    show.METRICS.write_text(json.dumps(metrics))
    show.REGISTERED.write_text(json.dumps({"why": "champion: the first version", "store": "http://there"}))
    show.main()
    shown = capsys.readouterr().out
    assert "the first version that is of http://there; to register in mlflow.db: `dvc repro" in " ".join(shown.split())
    assert "synthetic motion, CPN detections" in shown
    assert "99.0" in shown
    assert "103.5" in shown
    assert "mean over actions" in shown
    assert "pretrained is left out: it lifts nothing" in shown
    assert "lowers MPJPE by 2.2 mm" in shown


def test_3dhps_results_have_pck_and_auc():
    scores = {"mpjpe": 40.0, "p_mpjpe": 30.0, "n_mpjpe": 35.0, "mpjve": 5.0, "pck": 97.9, "auc": 75.8}
    shown = show.table({"finetuned": scores, "protocol": "mpi_inf_3dhp"}, "title")
    assert [str(column.header) for column in shown.columns][5:7] == ["PCK", "AUC"]
    assert [list(column.cells) for column in shown.columns][5:7] == [["97.9"], ["75.8"]]
    assert "valid frames" in str(shown.caption)


def test_without_results_there_is_nothing_to_show(workplace: Path):
    with pytest.raises(MixsteError, match="make repro"):
        show.main()
