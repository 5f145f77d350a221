"""Settings: conf/ composes, every file of it is valid, and wrong keys and values are refused by name, all at once."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixste.errors import MixsteError
from mixste.typed import build, flatten
from pipelines.params import Params, compose, load, main, write
from pipelines.settings import BESIDE_SCORES

GROUPS = [
    (folder.name, file.stem)
    for folder in sorted((Path(__file__).parents[2] / "conf").iterdir())
    if folder.is_dir()
    for file in sorted(folder.glob("*.yaml"))
]


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


@pytest.mark.parametrize(("group", "name"), GROUPS, ids="/".join)
def test_every_file_of_conf_composes_and_is_valid(workplace: Path, group: str, name: str):
    choices = [f"{group}={name}"]
    if group == "data" and compose(choices).data.split.validation.seen:
        choices += ["pretrain.keep=last", "finetune.keep=last"]
    if group == "model" and compose(choices).model.step > 1:
        choices += ["pretrain.views=rig"]
    params = write(choices)
    assert isinstance(params, Params)
    assert load() == params


def test_committed_params_are_what_conf_composes(root: Path, workplace: Path):
    done = subprocess.run(["git", "show", "HEAD:params.yaml"], cwd=root, capture_output=True, text=True)
    committed = done.stdout if done.returncode == 0 else (root / "params.yaml").read_text()
    write()
    assert committed == Path("params.yaml").read_text(), "params.yaml is stale: run `make params` and commit it"


def test_composition_is_that_of_dvc(root: Path, workplace: Path):
    from dvc.utils.hydra import compose_and_dump

    write(["data=cmu", "model=small"])
    compose_and_dump("dvc.yaml", str(root / "conf"), None, "config", ".", ["data=cmu", "model=small"])
    assert Path("dvc.yaml").read_bytes() == Path("params.yaml").read_bytes()


def test_overrides_reach_the_settings(workplace: Path):
    params = write(["data=cmu", "model=base", "finetune.epochs=5", "data.split.test.subjects=['09']"])
    assert (params.model.width, params.model.depth, params.model.frames) == (512, 8, 243)
    assert params.finetune.epochs == 5
    assert params.data.split.test.subjects == ("09",)


SPECIAL = [
    ("cluster.storage", "s3://BUCKET/PREFIX?endpoint_override=minio:9000&scheme=http"),
    ("data.licence", "recorded by us; it's for internal use, a\\b"),
    ("tracking.experiment", 'the "new" one (é)'),
]


@pytest.mark.parametrize(("key", "value"), SPECIAL)
def test_a_value_needs_no_quotes_of_hydras(workplace: Path, key: str, value: str):
    section, name = key.split(".")
    assert getattr(getattr(write([f"{key}={value}"]), section), name) == value


def test_what_hydra_can_read_is_left_to_it(workplace: Path):
    params = write(["cluster.storage='s3://B/P?a=b'", "seed=int(7.0)", "cluster.min_workers=${cluster.workers}"])
    assert (params.cluster.storage, params.seed, params.cluster.min_workers) == ("s3://B/P?a=b", 7, 1)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("target", ["params", "serve"])
def test_make_hands_values_on_as_they_are(root: Path, tmp_path: Path, target: str):
    models = "evaluate.models=[{name: authors, folder: models/authors}]"
    given = [*map("=".join, SPECIAL), "register.name='a=b&c=d'", models, "serve.host=${data.name}"]
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    python.chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt", ".venv/installed"):
        (tmp_path / name).touch()
    command = ["make", "-s", "-f", str(root / "Makefile"), target, *given, "PORT=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.splitlines()) == sorted(["-m", f"pipelines.{target}", *given])


@pytest.mark.parametrize(
    ("text", "in_a_file", "on_a_command_line"),
    [
        ("['07']", "07", "07"),
        ("[07]", 7, "07"),
        ("[09]", "09", "09"),
        ("[7]", 7, 7),
        ("[S9]", "S9", "S9"),
    ],
)
def test_subjects_are_text_where_they_are_quoted_and_numbers_are_refused(
    workplace: Path, text: str, in_a_file: object, on_a_command_line: object
):
    file = Path("conf/data/sample.yaml")
    given = f"data.split.test.subjects={text}"
    Path("conf/data/mine.yaml").write_text(file.read_text().replace("[S7, S8]", text))
    for choices, read in ((["data=mine"], in_a_file), (["data=sample", given], on_a_command_line)):
        if isinstance(read, str):
            assert write(choices).data.split.test.subjects == (read,) == load().data.split.test.subjects
        else:
            expected = rf"subjects\.0: found {read}, expected text \(write it in quotes, like '07'\)"
            with pytest.raises(MixsteError, match=expected):
                write(choices)


def test_a_data_set_needs_no_study(workplace: Path):
    Path("conf/data/mine.yaml").write_text(Path("conf/data/sample.yaml").read_text())
    assert write(["data=sample"]).study is not None
    assert write(["data=mine"]).study is None


def test_split_of_cmu_shares_no_subject(workplace: Path):
    split = write(["data=cmu"]).data.split
    groups = [set(split.labels.subjects), set(split.validation.subjects), set(split.test.subjects)]
    assert sum(map(len, groups)) == len(set.union(*groups))


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


def test_refused_composition_leaves_params_alone(workplace: Path):
    before = Path("params.yaml").read_bytes()
    with pytest.raises(MixsteError, match=r"model\.frames"):
        write(["model.frames=8"])
    assert Path("params.yaml").read_bytes() == before


IMPOSSIBLE = ["data=[broken", "data.sources.x.fps=3", "data.sources.9.fps=3", "study=null", "data.fps=${nowhere}"]


@pytest.mark.parametrize("override", IMPOSSIBLE)
def test_an_impossible_override_is_one_clear_error(workplace: Path, override: str):
    with pytest.raises(MixsteError, match="cannot compose") as caught:
        compose([override])
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("modle=tiny", r"\n  modle: found 'tiny', expected no such key \(did you mean model\?\)$"),
        ("pretrain.epoch=1", r"\n  pretrain\.epoch: found 1, expected no such key \(did you mean epochs\?\)$"),
        ("model={widht: 3}", r"\n  model\.widht: found 3, expected no such key \(did you mean width\?\)$"),
        ("data.sources.0.fp=60", r"\n  data\.sources\.0\.fp: found 60, expected no such key \(did you mean fps\?\)$"),
    ],
)
def test_an_unknown_key_of_the_command_line_is_refused_with_a_suggestion(workplace: Path, override: str, expected: str):
    with pytest.raises(MixsteError, match=expected):
        write(["data=sample", override])


def test_a_choice_that_is_no_file_is_refused_with_those_there_are(workplace: Path):
    Path("conf/data/mine.yaml").write_text(Path("conf/data/sample.yaml").read_text())
    expected = r"found: no conf/data/min\.yaml; expected: one of amass, .*, sample \(did you mean mine\?\)$"
    with pytest.raises(MixsteError, match=expected):
        write(["data=min"])
    with pytest.raises(MixsteError, match=r"found: no conf/study/sampl\.yaml; .*\(did you mean sample\?\)$"):
        write(["study=sampl"])


@pytest.mark.parametrize("choices", [["pretrain.epochs"], ["data", "=", "mine"], ["="], ["data =mine"], ["-x=1"]])
def test_what_is_no_key_and_value_is_refused(workplace: Path, choices: list[str]):
    with pytest.raises(MixsteError, match=f"cannot be read; found: {' '.join(choices)}; expected: KEY=VALUE"):
        write(choices)


def test_params_says_what_it_takes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["params", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "[KEY=VALUE ...]" in capsys.readouterr().out


def test_missing_and_broken_files_are_clear_errors(workplace: Path):
    with pytest.raises(MixsteError, match="make params"):
        load(Path("nowhere.yaml"))
    Path("broken.yaml").write_text("model: [1, 2")
    with pytest.raises(MixsteError, match=r"broken\.yaml"):
        load(Path("broken.yaml"))
    Path("list.yaml").write_text("[1, 2]")
    with pytest.raises(MixsteError, match="a section with the keys"):
        load(Path("list.yaml"))


def test_rates_in_scientific_notation_are_numbers(workplace: Path):
    text = Path("params.yaml").read_text().replace("lr: 0.002", "lr: 2e-3")
    Path("params.yaml").write_text(text)
    assert load().pretrain.optimiser.lr == pytest.approx(0.002)


@pytest.mark.parametrize("text", ["${nowhere}", "${data.nowhere}", "${", "${unknown:1}"])
def test_an_unresolved_reference_is_refused_by_its_key(workplace: Path, text: str):
    tree = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(change(tree, "data.licence", text)))
    with pytest.raises(MixsteError, match=r"cannot use params\.yaml; found: data\.licence: "):
        load()


@pytest.mark.parametrize("content", [b"\xff\xfe\xfa", b"3", b"a: [", b"- 1"])
def test_what_is_no_settings_file_is_refused(workplace: Path, content: bytes):
    Path("params.yaml").write_bytes(content)
    with pytest.raises(MixsteError, match=r"params\.yaml"):
        load()


def test_flatten_gives_dotted_keys():
    assert flatten({"a": {"b": 1, "c": [{"d": 2}]}, "e": (1, 2)}) == {"a.b": 1, "a.c.0.d": 2, "e": (1, 2)}
