"""Settings: wrong keys and values are refused by name, all at once."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mixste.errors import MixsteError
from mixste.settings.typed import build, flatten
from pipelines.params import Params, write
from pipelines.settings import BESIDE_SCORES


@pytest.fixture
def tree(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "params.yaml").read_text())


def change(tree: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    *parents, last = key.split(".")
    section: Any = tree
    for parent in parents:
        section = section[int(parent) if isinstance(section, list) else parent]
    section[last] = value
    return tree


def refused(tree: dict[str, Any]) -> str:
    with pytest.raises(MixsteError) as caught:
        build(Params, tree, "params.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("model.frames", 10, "odd"),
        ("model.heads", 5, "multiple of heads"),
        ("model.channels", 4, "2 (x, y) or 3"),
        ("model.architecture", "resnet", "one of mixste"),
        ("model.drop_path", 1.0, "below 1"),
        ("pretrain.corruption.joint_mask", 1.5, "between 0 and 1"),
        ("pretrain.optimiser.name", "sgd", "one of adamw, adam"),
        ("pretrain.epochs", 0, "1 or more"),
        ("finetune.optimiser.lr", "fast", "a number"),
        ("finetune.batch_size", 2.5, "a whole number"),
        ("finetune.flip", True, "text"),
        ("finetune.flip", "twice", "one of none, half, both"),
        ("evaluate.flip", "yes", "true or false"),
        ("data.split.labels.fraction", 0, "above 0 and at most 1"),
        ("data.split.test.subjects", [], "not empty"),
        ("data.split.test.subjects", [7], "write it in quotes"),
        ("data.split.test.sources", ["elsewhere"], "names from sample"),
        ("data.fps", -50, "above 0"),
        ("data.sources.0.up", "x", "one of y, z"),
        ("data.sources.0.format", "fbx", "one of bvh, asfamc"),
        ("data.sources.0.metres_per_unit", "furlong", "a number"),
        ("data.sources", [], "one at least, or labelled"),
        ("data.protocol", "pck", "one of h36m, mpi_inf_3dhp, humaneva"),
        ("data.split.validation.seen", "no", "true or false"),
        ("project.views.distance", [6.0, 3.0], "smaller first"),
        ("project.views.clip_frames", 3, "model.frames or more"),
        ("project.detector.correlation", 1.0, "below 1"),
        ("evaluate.overlap", 10_000, "less than model.frames"),
        ("cluster.precision", "fp8", "one of fp32, bf16"),
        ("cluster.workers", None, "a whole number"),
        ("cluster.min_workers", 2, "at most workers, which is 1"),
        ("cluster.autoscaling", True, "false, or a number for cpus_per_worker"),
        ("cluster.resize_seconds", 0, "above 0"),
        ("cluster.storage", "s3://key:secret@bucket/prefix", "no password in it; the environment has it"),
        ("seed", True, "a whole number"),
        ("study.labels.0.name", "", "not empty"),
        ("study.labels.1.name", "S1", "every name once"),
        ("study.seeds", [0, 0], "every one once"),
        ("study.learning_rates.longer", [0.004, 0.0], "each above 0"),
        ("study.learning_rates.pretrained", [], "not empty"),
        ("tracking.timeout", 0, "between 1 and 60"),
        ("tracking.system_metrics", 0, "between 1 and 3600"),
        ("sweep.space", [], "not empty"),
        ("sweep.space.0.choices", [], "not empty"),
        ("sweep.space.0.choices", None, "either choices or range for model.depth"),
        ("sweep.space.0.range", [1, 3], "either choices or range for model.depth"),
        ("sweep.space.3.range", [0.01, 0.001], "smaller first"),
        ("sweep.space.1.key", "model.depth", "every key once"),
        ("sweep.searcher", "grid", "because finetune.optimiser.lr is a range"),
        ("sweep.halving.reduction", 1, "2 or more"),
    ],
)
def test_an_impossible_value_is_refused_by_its_key(tree: dict[str, Any], key: str, value: Any, expected: str):
    message = refused(change(tree, key, value))
    between = {
        "model.heads": "model.width",
        "study.labels.1.name": "study.labels",
        "sweep.space.0.range": "sweep.space.0.choices",
        "sweep.space.1.key": "sweep.space",
    }
    reported = between.get(key, key)
    assert reported in message
    assert expected in message


def test_unknown_key_is_refused_with_a_suggestion(tree: dict[str, Any]):
    tree["model"]["widht"] = 64
    message = refused(tree)
    assert "model.widht" in message
    assert "did you mean width?" in message


def test_missing_key_is_named(tree: dict[str, Any]):
    del tree["finetune"]["epochs"]
    del tree["study"]["labels"][0]["name"]
    message = refused(tree)
    assert "finetune.epochs: found 'nothing'" in message
    assert "study.labels.0.name: found 'nothing'" in message


def test_all_problems_are_reported_at_once(tree: dict[str, Any]):
    change(tree, "model.frames", 8)
    change(tree, "evaluate.flip", 1)
    change(tree, "register.colour", "red")
    message = refused(tree)
    assert all(key in message for key in ("model.frames", "evaluate.flip", "register.colour"))


def test_a_subject_in_two_splits_is_refused(tree: dict[str, Any]):
    split = tree["data"]["split"]
    split["test"]["subjects"] = split["labels"]["subjects"][:1]
    message = refused(tree)
    assert "data.split.test.subjects" in message
    assert "not in labels too" in message


def test_a_subject_is_one_person_whatever_the_source(workplace: Path):
    one, other = "data.split.labels.sources=[amc]", "data.split.validation.sources=[daz]"
    with pytest.raises(MixsteError, match=r"data\.split\.validation\.subjects: found \['07'\].*not in labels too"):
        write(["data=cmu", one, other, "data.split.validation.subjects=['07']"])


@pytest.mark.parametrize(
    ("key", "value", "like"),
    [
        ("data.skeleton", "h36m18", "h36m17"),
        ("data.sources.0.joint_map", "cmu_amd", "cmu_amc"),
        ("project.rig.cameras", "h3.6m", "h36m"),
    ],
)
def test_an_unknown_skeleton_map_or_rig_is_refused_with_a_suggestion(
    tree: dict[str, Any], key: str, value: str, like: str
):
    message = refused(change(tree, key, value))
    assert f"{key}: found '{value}', expected one of " in message
    assert f", or a .yaml file below data/sample (did you mean {like}?)" in message


@pytest.mark.parametrize("key", ["data.skeleton", "data.sources.0.joint_map", "project.rig.cameras"])
def test_a_map_or_rig_of_ones_own_lies_where_dvc_sees_it(tree: dict[str, Any], key: str):
    for elsewhere in ("/elsewhere/mine.yaml", "data/sample/../mine.yaml"):
        message = refused(change(tree, key, elsewhere))
        assert f"{key}: found '{elsewhere}'" in message
        assert "a .yaml file below data/sample" in message
    assert build(Params, change(tree, key, "data/sample/mine.yaml"), "params.yaml")


LABELLED = {"name": "h36m", "format": "h36m", "files": ["3d.npz", "2d.npz"], "detections": "CPN"}


def test_a_labelled_data_set_needs_no_sources(tree: dict[str, Any]):
    tree["data"] |= {"labelled": LABELLED, "sources": []}
    tree["data"]["split"]["labels"]["sources"] = ["h36m"]
    assert build(Params, tree, "params.yaml").data.labelled.detections == "CPN"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("labelled.format", "ntu", "one of h36m, motionbert, mpi_inf_3dhp, humaneva"),
        ("labelled.files", ["3d.npz"], "2 for h36m: data_3d_h36m.npz, data_2d_h36m_*.npz"),
        ("labelled.name", "h36m-cpn", "letters, digits and underscores"),
        ("labelled.detections", "", "not empty"),
        ("fps", 60, "50, the rate of h36m"),
        ("skeleton", "humaneva15", "h36m17 or h36m16 for h36m"),
        ("split.test.subjects", ["Validate/S1"], "/ of the data set is written _"),
    ],
)
def test_what_does_not_fit_a_labelled_data_set_is_refused(tree: dict[str, Any], key: str, value: Any, expected: str):
    tree["data"] |= {"labelled": {**LABELLED}, "sources": []}
    message = refused(change(tree, f"data.{key}", value))
    assert f"data.{key.removesuffix('.test.subjects')}" in message
    assert expected in message


def test_a_labelled_data_set_and_sources_have_their_own_names(tree: dict[str, Any]):
    tree["data"]["labelled"] = {**LABELLED, "name": "sample"}
    assert "data.sources: found ['sample', 'sample']" in refused(tree)


def test_validation_subjects_that_train_choose_nothing(tree: dict[str, Any]):
    tree["data"]["split"]["validation"] |= {"subjects": ["S1"], "seen": True}
    message = refused(tree)
    assert "pretrain.keep: found 'best', expected last" in message
    assert "finetune.keep: found 'best', expected last" in message
    tree["pretrain"]["keep"] = tree["finetune"]["keep"] = "last"
    split = build(Params, tree, "params.yaml").data.split
    assert (split.held_out, split.subjects) == ({"S7", "S8"}, ("S1", "S7", "S8"))


def test_a_test_subject_is_never_seen(tree: dict[str, Any]):
    tree["data"]["split"]["validation"] |= {"subjects": ["S1"], "seen": True}
    tree["data"]["split"]["test"]["subjects"] = ["S1"]
    message = refused(tree)
    assert "not in labels too" in message
    assert "not in validation too" in message


def test_a_model_from_elsewhere_is_registered_if_it_is_scored_and_lies_in_models(workplace: Path):
    extra = "evaluate.models=[{{name: authors, folder: {}}}]"
    params = write([extra.format("models/authors"), "register.model=authors"])
    assert params.register.model == params.evaluate.models[0].name
    for refused in ([], [extra.format("elsewhere/authors")]):
        with pytest.raises(MixsteError, match=r"register\.model: found 'authors', expected finetuned"):
            write([*refused, "register.model=authors"])


@pytest.mark.parametrize("name", BESIDE_SCORES)
def test_no_model_is_named_as_what_stands_beside_the_scores(workplace: Path, name: str):
    with pytest.raises(MixsteError, match=rf"evaluate\.models\.0\.name: found '{name}', expected a name that metrics"):
        write([f"evaluate.models=[{{name: {name}, folder: models/{name}}}]"])


def test_windows_that_skip_frames_need_random_views_as_long_as_they_span(workplace: Path):
    expected = r"views\.clip_frames: found 243, expected .* which is 485, .*clip_frames=485, or pretrain\.views=rig"
    with pytest.raises(MixsteError, match=expected):
        write(["model=stcformer"])
    for mended in ("project.views.clip_frames=485", "pretrain.views=rig", "pretrain=mpm"):
        assert write(["model=stcformer", mended]).model.span == 485


def test_amc_needs_a_frame_rate(workplace: Path):
    with pytest.raises(MixsteError, match=r"data\.sources\.0\.fps"):
        write(["data=cmu", "data.sources.0.fps=null"])


def test_flatten_gives_dotted_keys():
    assert flatten({"a": {"b": 1, "c": [{"d": 2}]}, "e": (1, 2)}) == {"a.b": 1, "a.c.0.d": 2, "e": (1, 2)}
