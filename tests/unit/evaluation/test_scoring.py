"""The scoring of models: by which rules, on what device, what does not fit; and the hash of the test data."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch

from mixste.errors import MixsteError
from mixste.inference import lift, lift_sequences
from mixste.models.checkpoint import ModelConfig
from mixste.models.mixste import MixSTE
from mixste.scoring.protocols import AS_PUBLISHED, PROTOCOLS, in_chunks, scoring_as_published, summary
from mixste.scoring.scores import score
from mixste.sequences import read_sequences
from pipelines.evaluation import scoring
from pipelines.evaluation.scoring import evaluate, refuse_misfit, scores_as_published
from pipelines.evaluation.scoring import test_hash as hash_of_test
from pipelines.params import load
from pipelines.settings.data import LabelledSettings
from tests.unit.factories import CPU, FPS, SKELETON, model, model_folder, model_settings, sequences, write_projections


def test_scores_of_other_data_or_another_protocol_are_told_apart(workplace, monkeypatch):
    params, data = load(), sequences((12, 9))
    flipped = replace(params, evaluate=replace(params.evaluate, flip=not params.evaluate.flip))
    nudged = data.joints.clone()
    nudged[-1, -1, -1] += 1e-6
    others = [replace(data, joints=nudged), replace(data, subjects=("S8", "S0")), replace(data, unit="screen")]
    found = [hash_of_test(data, params), hash_of_test(data, flipped), *(hash_of_test(one, params) for one in others)]
    monkeypatch.setattr(scoring, "RULES", 0)
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
    assert scores_as_published(network, data, plain, UNUSED, CPU).mean() == pytest.approx(expected, rel=1e-4)
    assert network.settings.output == "sequence", "the model itself is as it was"


def test_a_model_that_keeps_centres_is_not_asked_twice(plain):
    network, data = model(architecture="stcformer", width=16, heads=2, output="centre"), sequences((12, 5))
    given = torch.ones(17, 17, 3)
    found = scores_as_published(network, data, plain, given, CPU).mean()
    given[:, 0] = 0
    assert found == score(given, data).mean()


def test_the_second_scoring_is_left_out_where_it_is_not_asked_for(plain):
    params = replace(plain, evaluate=replace(plain.evaluate, as_published=False))
    assert scores_as_published(model(), sequences(), params, UNUSED, CPU) is None


@pytest.mark.parametrize(("overlap", "asked"), [(0, 1), (3, 2)])
def test_mixste_is_scored_in_chunks_and_asked_once_where_its_windows_are_these(plain, tmp_path, overlap, asked):
    network, data = model(), sequences((12, 5))
    params = replace(plain, evaluate=replace(plain.evaluate, overlap=overlap))
    chunks = in_chunks(data, network.settings.frames)
    scoring = scoring_as_published(PROTOCOLS["h36m"], AS_PUBLISHED["mixste"])
    expected = score(lift_sequences(network, chunks, flip=None), chunks, scoring)
    with patch.object(MixSTE, "forward", autospec=True, side_effect=MixSTE.forward) as forward:
        found = evaluate(model_folder(tmp_path / "m", network), data, params)
    assert forward.call_count == asked
    assert found.as_published["mean"] == pytest.approx(summary(expected, PROTOCOLS["h36m"], ())["mean"], rel=1e-6)
    assert found.as_published["mean"]["frames"] == 27


def test_models_are_scored_on_a_gpu_where_training_has_one_and_in_tasks_on_the_cpu(plain, tmp_path, monkeypatch):
    with_gpus = replace(plain, cluster=replace(plain.cluster, gpus_per_worker=1))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert scoring.device_of(with_gpus).type == "cuda"
    assert scoring.device_of(plain).type == "cpu"
    assert scoring.predict(model_folder(tmp_path / "m", model()), sequences(), with_gpus).device.type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert scoring.device_of(with_gpus).type == "cpu"


def test_batches_that_memory_is_too_small_for_are_said(plain, tmp_path, monkeypatch):
    folder = model_folder(tmp_path / "m", model())
    monkeypatch.setattr(scoring, "lift_windows", lambda *_, **__: [torch.empty(2**60)])
    with pytest.raises(MixsteError, match=r"too small for batches of 64 windows; .*evaluate\.batch_size=32"):
        evaluate(folder, sequences(), plain)


def test_motionberts_data_are_scored_as_their_authors_do(plain):
    data, labelled = (
        replace(sequences((250, 9)), clips=("a", "s_09_act_05_subact_02")),
        SimpleNamespace(format="motionbert"),
    )
    params = SimpleNamespace(**{**plain.__dict__, "data": SimpleNamespace(labelled=labelled, protocol="h36m")})
    found = scores_as_published(model(), data, params, UNUSED, CPU)
    assert found.frames.tolist() == [243]
    assert found.per_joint[0] == 0, "their code sets the root to zero, MixSTE's does not"
    assert found.per_joint[1:].min() > 0


def test_a_trial_apart_that_a_papers_code_leaves_out_is_apart_in_our_scoring_only(plain, tmp_path):
    data = replace(sequences((250, 9)), clips=("a", "s_09_act_05_subact_02"), subjects=("S9", "S9"))
    labelled = LabelledSettings("sh", "motionbert", ("sh.pkl",), "stacked hourglass")
    split = replace(plain.data.split, apart=("S9/s_09_act_05_subact_02",))
    params = replace(plain, data=replace(plain.data, labelled=labelled, split=split))
    found = evaluate(model_folder(tmp_path / "m", model()), data, params)
    assert (list(found.summary["apart"]), list(found.as_published["apart"])) == ([*split.apart], [])
    assert (found.summary["mean"]["frames"], found.as_published["mean"]["frames"]) == (250, 243)


def test_mixste_with_frames_apart_has_no_scoring_of_its_paper(plain):
    assert scores_as_published(model(step=2, output="centre"), sequences(), plain, UNUSED, CPU) is None


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


def test_a_model_that_wants_confidence_is_refused_where_there_is_none():
    config = ModelConfig(model=model_settings(channels=3), skeleton=SKELETON, fps=FPS)
    data = sequences()
    with pytest.raises(MixsteError, match="3 channels, not 2"):
        refuse_misfit(Path("m"), config, replace(data, keypoints=data.keypoints[..., :2]))
