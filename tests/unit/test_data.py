"""What `make data`, `make repro` and `make ui` say: the sample is made, changed data is named, results are shown."""

import json
import logging
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from mixste.errors import MixsteError
from pipelines import data, show, store, tracking, ui
from pipelines.params import load, write
from pipelines.places import MODELS


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


def test_data_that_dvc_knows_are_not_read_again(workplace: Path, monkeypatch: pytest.MonkeyPatch):
    Path("data").mkdir()
    Path("data/one.bvh").write_text("HIERARCHY")
    for command in ("init --no-scm", "add data"):
        subprocess.run([*data.DVC, *command.split(), "-q"], check=True)
    with monkeypatch.context() as patched:
        patched.setattr(data, "data_hash", lambda path: pytest.fail("read again"))
        assert data.difference() is None
    Path("data/one.bvh").write_text("HIERARCHY of another kind")
    assert "not what data.dvc names" in str(data.difference())


def test_data_that_was_never_added_is_said_plainly(workplace: Path):
    assert "dvc add data" in str(data.difference())


def test_links_to_folders_are_named_or_refused(workplace: Path):
    data.provide(Path("data/sample"), synthetic=True)
    Path("elsewhere").mkdir()
    Path("data/other").symlink_to("../elsewhere")
    Path("data/file").symlink_to("sample/README.txt")
    Path("data.dvc").write_text(yaml.safe_dump({"outs": [{"md5": data.data_hash(data.DATA), "path": "data"}]}))
    data.main()
    assert "does not name what is in data/other," in str(data.difference())
    Path("data/sample/other").symlink_to("../../elsewhere")
    with pytest.raises(MixsteError, match=r"below data/sample; found: data/sample/other; expected: folders"):
        data.main()
    write(["data.folder=data/other"])
    data.main()


def test_absent_real_data_is_a_clear_error(workplace: Path):
    write(["data=cmu"])
    with pytest.raises(MixsteError, match=r"no captures in data/cmu.*dvc pull"):
        data.main()


def test_captures_outside_data_are_a_clear_error_where_data_is_recorded(workplace: Path):
    Path("captures").mkdir()
    Path("data.dvc").write_text(yaml.safe_dump({"outs": [{"md5": "0" * 32 + ".dir", "path": "data"}]}))
    write(["data.folder=captures"])
    with pytest.raises(MixsteError, match=r"no folder data.*data\.folder captures, which is not below data"):
        data.main()
    write(["data.folder=data/../captures"])
    with pytest.raises(MixsteError, match=r"not below data"):
        data.main()


def test_the_hash_of_data_is_what_lies_in_data_dvc_now(tmp_path: Path):
    path = tmp_path / "data.dvc"
    assert data.recorded_hash(path) is None
    path.write_text(yaml.safe_dump({"outs": [{"md5": "1" * 32 + ".dir", "path": "data"}]}))
    assert data.recorded_hash(path) == "1" * 32 + ".dir"


@pytest.mark.parametrize("text", ["", "outs: []", "<<<<<<< HEAD\nouts: [", "outs: [{path: data}]"])
def test_a_broken_data_dvc_is_a_clear_error(tmp_path: Path, text: str):
    (tmp_path / "data.dvc").write_text(text)
    with pytest.raises(MixsteError, match=r"cannot read .*data\.dvc"):
        data.recorded_hash(tmp_path / "data.dvc")


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


def test_a_registry_is_called_the_same_in_every_checkout_and_by_everyone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store.name() == "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@there:5000")
    assert store.name() == "http://there:5000"


def test_3dhps_results_have_pck_and_auc():
    scores = {"mpjpe": 40.0, "p_mpjpe": 30.0, "n_mpjpe": 35.0, "mpjve": 5.0, "pck": 97.9, "auc": 75.8}
    shown = show.table({"finetuned": scores, "protocol": "mpi_inf_3dhp"}, "title")
    assert [str(column.header) for column in shown.columns][5:7] == ["PCK", "AUC"]
    assert [list(column.cells) for column in shown.columns][5:7] == [["97.9"], ["75.8"]]
    assert "valid frames" in str(shown.caption)


def test_without_results_there_is_nothing_to_show(workplace: Path):
    with pytest.raises(MixsteError, match="make repro"):
        show.main()


def test_the_ui_opens_at_the_comparison(tracked_workplace: Path):
    params, uri = load(), store.default_store()
    assert ui.comparison("http://h", uri, params.tracking.experiment) == "http://h"
    for name in ("scratch", "finetuned"):
        MODELS[name].mkdir(parents=True)
        (MODELS[name] / "config.json").write_text(name)
        with tracking.run(name, params, output=MODELS[name]):
            pass
    page = ui.comparison("http://h", uri, params.tracking.experiment)
    assert page.startswith("http://h/#/compare-runs?runs=")
    assert all(str(tracking.run_of(MODELS[name])) in page for name in ("scratch", "finetuned"))


@pytest.mark.parametrize("text", ["abc", "0", "65536", "-1", "80.5", ""])
def test_a_port_that_is_none_is_a_clear_error(text: str):
    with pytest.raises(MixsteError, match=f"no such port; found: {text}"):
        ui.chosen_port([text])


def test_a_port_may_be_chosen():
    assert (ui.chosen_port([]), ui.chosen_port(["8080"])) == (5000, 8080)


def test_a_port_of_the_ui_that_is_taken_is_said_with_another():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = pytest.raises(MixsteError, match=f"127.0.0.1:{port}; found: Address.*make ui PORT={port + 1}")
        with refused, ui.served("sqlite:///mlflow.db", port):
            pytest.fail("it was served")


def test_the_ui_of_a_dead_server_is_a_clear_error(workplace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setattr("sys.argv", ["ui"])
    monkeypatch.setattr(ui.webbrowser, "open", lambda page: pytest.fail("opened"))
    with pytest.raises(MixsteError, match=r"MLFLOW_TRACKING_URI http://127\.0\.0\.1:1.*ConnectionError"):
        ui.main()


def test_the_ui_of_a_server_that_is_not_mlflow_is_a_clear_error(monkeypatch: pytest.MonkeyPatch):
    def comparison(*_: object) -> str:
        raise ValueError("not JSON")

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setattr(ui.store, "knock", lambda uri, timeout: None)
    monkeypatch.setattr(ui, "comparison", comparison)
    with pytest.raises(MixsteError, match="expected: an MLflow server"):
        ui.remote("http://h", ui.TrackingSettings(experiment="mixste", timeout=5, system_metrics=None))
