"""`evaluate`: what is scored, by which rules, what is apart or left out, and the report."""

import csv
import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mixste.errors import MixsteError
from mixste.files.hashing import data_hash
from mixste.models.checkpoint import ModelConfig
from mixste.scoring.paired import read_clip_errors
from pipelines import evaluate
from pipelines.evaluate import why_not_scored
from pipelines.evaluation.report import middle_one
from pipelines.params import load, write
from pipelines.places import METRICS, PER_CLIP
from pipelines.settings import BESIDE_SCORES, ModelFolder
from pipelines.settings.data import GroupSettings
from tests.unit.factories import FPS, SKELETON, model, model_folder, model_settings, sequences, write_projections


@pytest.mark.parametrize(("frames", "expected"), [(4, 3), (20, 4), (99, 4)])
def test_the_clip_shown_is_from_the_middle_of_those_that_are_long_enough(frames, expected):
    assert middle_one(sequences((9, 3, 30, 5, 30)), frames) == expected


def test_a_model_of_another_unit_is_not_scored_and_says_why():
    config = ModelConfig(model=model_settings(), skeleton=SKELETON, fps=FPS)
    assert why_not_scored(config, sequences()) == ""
    assert why_not_scored(config, replace(sequences(), unit="screen")) == "it lifts in m, the test data are in screen"


@pytest.mark.parametrize("names", [("a", "a"), ("scratch",)])
def test_models_from_elsewhere_have_names_of_their_own(workplace, names):
    models = ", ".join(f"{{name: {name}, folder: f}}" for name in names)
    with pytest.raises(MixsteError, match=r"evaluate\.models"):
        write([f"evaluate.models=[{models}]"])


@pytest.fixture(scope="module")
def report(tmp_path_factory, root):
    """The report of a labelled data set with CPN's 2D: two lifters, a masked network, and one from elsewhere."""
    folder, plain = tmp_path_factory.mktemp("report"), load(root / "params.yaml")
    test = replace(sequences((12, 9), seed=1), subjects=("S7", "S7"), actions=("Photo", "Photo"))
    write_projections(folder / "datasets/projections/rig/sample-S7.parquet", test, detections="CPN")
    split = replace(plain.data.split, test=GroupSettings(("S7",)))
    data = SimpleNamespace(**{**plain.data.__dict__, "labelled": SimpleNamespace(format="h36m"), "split": split})
    scoring = replace(plain.evaluate, flip=False, models=(ModelFolder("authors", "elsewhere"),))
    params = SimpleNamespace(**{**plain.__dict__, "data": data, "evaluate": scoring})
    for name, seed in (("models/scratch", 0), ("models/finetuned", 1), ("elsewhere", 2)):
        model_folder(folder / name, model(seed))
    model_folder(folder / "models/pretrained", model(3), kind="masked")
    logged, files = {}, []
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        _replace(patched, params, SimpleNamespace(log_metrics=logged.update, log_figure=files.append))
        evaluate.main()
        found = json.loads(METRICS.read_text())
    return SimpleNamespace(folder=folder, params=params, logged=logged, files=files, metrics=found)


def _replace(patched, params, run):
    """Settings and MLflow's run of an evaluation of all models."""
    patched.setattr(evaluate, "load", lambda: params)
    patched.setattr("sys.argv", ["evaluate"])
    patched.setattr(evaluate.tracking, "run", lambda *_, **__: nullcontext(run))


@pytest.fixture
def evaluated(report, tmp_path, monkeypatch):
    """A copy of the report and of all that it was made of, in the current folder, in which it can be made again."""
    shutil.copytree(report.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    _replace(monkeypatch, report.params, SimpleNamespace(log_metrics=lambda _: None, log_figure=lambda _: None))
    return report


def rows(name):
    with (METRICS.parent / name).open() as file:
        return list(csv.DictReader(file))


def test_the_report_holds_both_scorings_and_what_is_left_out(evaluated):
    found = evaluated.metrics
    assert found["left_out"] == {"pretrained": "a masked network lifts nothing"}
    assert found["protocol"] == "h36m"
    assert found.keys() - {"scratch", "finetuned", "authors"} == set(BESIDE_SCORES)
    for name in ("scratch", "finetuned", "authors"):
        assert found[name]["frames"] == 21
        assert found[name]["as_published"]["frames"] == 27
        assert evaluated.logged[f"{name}.mpjpe"] == found[name]["mpjpe"]
        means = [row for row in rows("scorings.csv") if (row["model"], row["group"]) == (name, "mean")]
        expected = [found[name]["mpjpe"], found[name]["as_published"]["mpjpe"]]
        assert [float(row["mpjpe"]) for row in means] == pytest.approx(expected, abs=1e-3)
    assert {row["action"] for row in rows("per_action.csv")} == {"Photo"}
    assert found["weights_hash"]["authors"] == data_hash(Path("elsewhere/model.safetensors"))
    assert found["pretraining_gain_mpjpe"] == found["scratch"]["mpjpe"] - found["finetuned"]["mpjpe"]


def test_every_file_of_the_report_is_an_artifact_of_the_run_the_viewer_and_the_figures_too(evaluated):
    assert evaluated.files == sorted(METRICS.parent.iterdir())
    figures = {"clip.gif", "learning_curves.png", "per_action.png", "per_joint.png"}
    assert {path.name for path in evaluated.files} >= {"clip.html", "table.md", *figures}


def test_errors_by_clip_add_up_to_the_headline(evaluated):
    for name in ("scratch", "finetuned", "authors"):
        errors = read_clip_errors(PER_CLIP, name, "mpjpe")
        assert errors.mean == pytest.approx(evaluated.metrics[name]["mpjpe"], abs=2e-3)
        assert errors.clips == ("Photo: S7/trial0",), "two cameras are one clip"


def test_the_table_of_a_labelled_data_set_has_the_published_rows_too(evaluated):
    text = (METRICS.parent / "table.md").read_text()
    assert "| **authors, as published** |" in text
    assert "| our other test set | MixSTE | CVPR'22 | CPN | camera | 243 |" in text
    table = rows("table.csv")
    ours = [row for row in table if row["part"] == "ours"]
    assert len(ours) == 6
    assert {row["2D"] for row in ours} == {"CPN"}
    count = sum(parameter.numel() for parameter in model().parameters())
    assert float(ours[0]["parameters (M)"]) == pytest.approx(count / 1e6, abs=1e-3)


def test_the_same_models_and_data_give_the_same_bytes(evaluated):
    before = {path.name: path.read_bytes() for path in METRICS.parent.iterdir()}
    evaluate.main()
    assert {path.name: path.read_bytes() for path in METRICS.parent.iterdir()} == before


def test_only_the_models_that_are_named_are_scored(evaluated, monkeypatch):
    shutil.rmtree("models/pretrained")
    shutil.rmtree("models/finetuned")
    monkeypatch.setattr("sys.argv", ["evaluate", "scratch"])
    evaluate.main()
    found = json.loads(METRICS.read_text())
    assert found["scratch"] == evaluated.metrics["scratch"]
    assert not {"finetuned", "authors", "pretraining_gain_mpjpe"} & found.keys()
    assert (METRICS.parent / "clip.gif").is_file()
    assert '"truth":' in (METRICS.parent / "clip.html").read_text()


@pytest.mark.parametrize(("names", "message"), [(["scratsh"], "scratsh"), (["pretrained"], "lifts nothing")])
def test_a_name_that_cannot_be_scored_is_refused(evaluated, monkeypatch, names, message):
    monkeypatch.setattr("sys.argv", ["evaluate", *names])
    with pytest.raises(MixsteError, match=message):
        evaluate.main()
    assert json.loads(METRICS.read_text()) == evaluated.metrics
