"""`evaluate`: what is scored, by which rules, what is apart or left out, and the report."""

import csv
import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch

from mixste.errors import MixsteError
from mixste.inference import lift, lift_sequences
from mixste.models.checkpoint import ModelConfig, save_model
from mixste.models.mixste import MixSTE
from mixste.paired import read_clip_errors
from mixste.protocols import AS_PUBLISHED, PROTOCOLS, in_chunks, scoring_as_published, summary
from mixste.scoring import METRICS as ERRORS
from mixste.scoring import Names, Scores, score
from mixste.sequences import read_sequences
from pipelines import evaluate
from pipelines.evaluate import refuse_misfit, scores_as_published, why_not_scored
from pipelines.evaluate import test_hash as hash_of_test
from pipelines.evaluation.report import middle_one
from pipelines.params import load, write
from pipelines.places import METRICS, PER_CLIP
from pipelines.provenance import data_hash
from pipelines.settings import BESIDE_SCORES, ModelFolder
from pipelines.settings.data import GroupSettings, LabelledSettings
from tests.unit.factories import FPS, SKELETON, model, model_settings, sequences, write_projections


@pytest.mark.parametrize(("frames", "expected"), [(4, 3), (20, 4), (99, 4)])
def test_the_clip_shown_is_from_the_middle_of_those_that_are_long_enough(frames, expected):
    assert middle_one(sequences((9, 3, 30, 5, 30)), frames) == expected


@pytest.fixture
def scores():
    """Three clips of one frame more than steps: errors of 10, 20 and 90 mm."""
    errors = np.array([10.0, 20.0, 90.0])
    frames = np.array([4, 4, 4])
    return Scores(
        names=Names(("a/0", "b/0", "b.1/0"), ("S", "S", "S"), ("walk", "run", "run")),
        metrics=ERRORS,
        totals=np.repeat((errors * frames)[:, None], 4, axis=1),
        counts=np.repeat(frames[:, None], 4, axis=1),
        joint_totals=np.repeat((errors * frames)[:, None], 17, axis=1),
    )


def test_a_trial_apart_is_in_no_mean_whatever_its_pieces(scores):
    found = summary(scores, PROTOCOLS["h36m"], ["S/b"])
    assert found["frame_mean"]["mpjpe"] == found["mean"]["mpjpe"] == 10.0
    assert found["mean"]["frames"] == 4
    assert found["per_joint"].tolist() == [10.0] * 17
    assert found["apart"]["S/b"]["mpjpe"] == 55.0


def test_actions_count_alike_whatever_their_frames(scores):
    assert summary(scores, PROTOCOLS["h36m"], [])["mean"]["mpjpe"] == pytest.approx((10 + 55) / 2)


def test_a_trial_apart_that_is_not_there_is_named(scores):
    with pytest.raises(MixsteError, match="S/c"):
        summary(scores, PROTOCOLS["h36m"], ["S/c"])


def test_scores_of_other_data_or_another_protocol_are_told_apart(workplace, monkeypatch):
    params, data = load(), sequences((12, 9))
    flipped = replace(params, evaluate=replace(params.evaluate, flip=not params.evaluate.flip))
    nudged = data.joints.clone()
    nudged[-1, -1, -1] += 1e-6
    others = [replace(data, joints=nudged), replace(data, subjects=("S8", "S0")), replace(data, unit="screen")]
    found = [hash_of_test(data, params), hash_of_test(data, flipped), *(hash_of_test(one, params) for one in others)]
    monkeypatch.setattr(evaluate, "RULES", 0)
    found.append(hash_of_test(data, params))
    assert len(set(found)) == 6


def test_who_wrote_the_test_data_does_not_matter(workplace):
    import pyarrow.parquet

    path, params, found = Path("a-S0.parquet"), load(), []
    write_projections(path, sequences((12, 9)))
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path), "b-S0.parquet", compression="none", row_group_size=5)
    for name in ("a-S0.parquet", "b-S0.parquet"):
        found.append(hash_of_test(read_sequences([Path(name)], skeleton=SKELETON, fps=FPS), params))
    assert found[0] == found[1]


def save(folder, network, kind="lifter", **changes):
    """Write a tiny network as a model folder with a history, as training leaves it."""
    config = ModelConfig(model=network.settings, skeleton=SKELETON, fps=FPS, kind=kind)
    save_model(folder, network.state_dict(), replace(config, provenance={"validation_mpjpe_mm": 5.0}, **changes))
    (folder / "history.csv").write_text("epoch,validation_mpjpe\n1,100\n2,90\n")
    return folder


@pytest.fixture
def plain(workplace):
    """Settings of this checkout without test-time flip."""
    params = load()
    return replace(params, evaluate=replace(params.evaluate, flip=False))


UNUSED = torch.empty(0)


def centres(network, data):
    """The centre frame of a window around every frame, edges repeated, in a plain loop: `n j 3`."""
    half, found = network.settings.frames // 2, []
    for low, high in data.offsets.unfold(0, 2, 1).tolist():
        for frame in range(low, high):
            rows = [min(max(frame + shift, low), high - 1) for shift in range(-half, half + 1)]
            found.append(lift(network, data.keypoints[rows][None])[0, half])
    return torch.stack(found)


def test_stcformer_is_scored_by_centre_frames_with_its_root_at_zero_whatever_lifting_keeps(plain):
    network, data = model(architecture="stcformer", width=16, heads=2), sequences((12, 5))
    predicted = centres(network, data)
    predicted[:, 0] = 0
    expected = score(predicted, data).mean()
    assert scores_as_published(network, data, plain, UNUSED).mean() == pytest.approx(expected, rel=1e-4)
    assert network.settings.output == "sequence", "the model itself is as it was"


def test_a_model_that_keeps_centres_is_not_asked_twice(plain):
    network, data = model(architecture="stcformer", width=16, heads=2, output="centre"), sequences((12, 5))
    given = torch.ones(17, 17, 3)
    found = scores_as_published(network, data, plain, given).mean()
    given[:, 0] = 0
    assert found == score(given, data).mean()


def test_the_second_scoring_is_left_out_where_it_is_not_asked_for(plain):
    params = replace(plain, evaluate=replace(plain.evaluate, as_published=False))
    assert scores_as_published(model(), sequences(), params, UNUSED) is None


@pytest.mark.parametrize(("overlap", "asked"), [(0, 1), (3, 2)])
def test_mixste_is_scored_in_chunks_and_asked_once_where_its_windows_are_these(plain, tmp_path, overlap, asked):
    network, data = model(), sequences((12, 5))
    params = replace(plain, evaluate=replace(plain.evaluate, overlap=overlap))
    chunks = in_chunks(data, network.settings.frames)
    scoring = scoring_as_published(PROTOCOLS["h36m"], AS_PUBLISHED["mixste"])
    expected = score(lift_sequences(network, chunks, flip=None), chunks, scoring)
    with patch.object(MixSTE, "forward", autospec=True, side_effect=MixSTE.forward) as forward:
        found = evaluate.evaluate(save(tmp_path / "m", network), data, params)
    assert forward.call_count == asked
    assert found.as_published["mean"] == pytest.approx(summary(expected, PROTOCOLS["h36m"], ())["mean"], rel=1e-6)
    assert found.as_published["mean"]["frames"] == 27


def test_models_are_scored_on_a_gpu_where_training_has_one_and_in_tasks_on_the_cpu(plain, tmp_path, monkeypatch):
    with_gpus = replace(plain, cluster=replace(plain.cluster, gpus_per_worker=1))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert evaluate.device_of(with_gpus).type == "cuda"
    assert evaluate.device_of(plain).type == "cpu"
    assert evaluate.predict(save(tmp_path / "m", model()), sequences(), with_gpus).device.type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert evaluate.device_of(with_gpus).type == "cpu"


def test_batches_that_memory_is_too_small_for_are_said(plain, tmp_path, monkeypatch):
    folder = save(tmp_path / "m", model())
    monkeypatch.setattr(evaluate, "lift_windows", lambda *_, **__: [torch.empty(2**60)])
    with pytest.raises(MixsteError, match=r"too small for batches of 64 windows; .*lower evaluate\.batch_size"):
        evaluate.evaluate(folder, sequences(), plain)


def test_motionberts_data_are_scored_as_their_authors_do(plain):
    data, labelled = (
        replace(sequences((250, 9)), clips=("a", "s_09_act_05_subact_02")),
        SimpleNamespace(format="motionbert"),
    )
    params = SimpleNamespace(**{**plain.__dict__, "data": SimpleNamespace(labelled=labelled, protocol="h36m")})
    assert scores_as_published(model(), data, params, UNUSED).frames.tolist() == [243]


def test_a_trial_apart_that_a_papers_code_leaves_out_is_apart_in_our_scoring_only(plain, tmp_path):
    data = replace(sequences((250, 9)), clips=("a", "s_09_act_05_subact_02"), subjects=("S9", "S9"))
    labelled = LabelledSettings("sh", "motionbert", ("sh.pkl",), "stacked hourglass")
    split = replace(plain.data.split, apart=("S9/s_09_act_05_subact_02",))
    params = replace(plain, data=replace(plain.data, labelled=labelled, split=split))
    found = evaluate.evaluate(save(tmp_path / "m", model()), data, params)
    assert (list(found.summary["apart"]), list(found.as_published["apart"])) == ([*split.apart], [])
    assert (found.summary["mean"]["frames"], found.as_published["mean"]["frames"]) == (250, 243)


def test_mixste_with_frames_apart_has_no_scoring_of_its_paper(plain):
    assert scores_as_published(model(step=2, output="centre"), sequences(), plain, UNUSED) is None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"skeleton": "humaneva15"}, "skeleton humaneva15, not h36m17"),
        ({"fps": 25.0}, "fps 25.0, not 50.0"),
    ],
)
def test_a_model_of_other_joints_or_another_rate_is_refused(changes, found):
    config = ModelConfig(model=model_settings(), **{"skeleton": SKELETON, "fps": FPS, **changes})
    with pytest.raises(MixsteError, match=f"models/authors does not fit.*{found}"):
        refuse_misfit(Path("models/authors"), config, sequences())


def test_a_model_of_another_unit_is_not_scored_and_says_why():
    config = ModelConfig(model=model_settings(), skeleton=SKELETON, fps=FPS)
    assert why_not_scored(config, sequences()) == ""
    assert why_not_scored(config, replace(sequences(), unit="screen")) == "it lifts in m, the test data are in screen"


def test_a_model_that_wants_confidence_is_refused_where_there_is_none():
    config = ModelConfig(model=model_settings(channels=3), skeleton=SKELETON, fps=FPS)
    data = sequences()
    with pytest.raises(MixsteError, match="3 channels, not 2"):
        refuse_misfit(Path("m"), config, replace(data, keypoints=data.keypoints[..., :2]))


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
        save(folder / name, model(seed))
    save(folder / "models/pretrained", model(3), kind="masked")
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
