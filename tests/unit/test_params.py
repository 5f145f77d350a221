"""params.yaml: conf/ composes, every file of it is valid, and what cannot be composed or read is refused."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from mixste.errors import MixsteError
from pipelines.params import Params, load, main, write
from pipelines.settings.composing import compose

GROUPS = [
    (folder.name, file.stem)
    for folder in sorted((Path(__file__).parents[2] / "conf").iterdir())
    if folder.is_dir()
    for file in sorted(folder.glob("*.yaml"))
]


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


def test_nobody_trains_with_humanevas_misordered_joint_weights_unknowingly(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (command,) = re.findall(r"`make params (data=humaneva .*?)`", Path("conf/data/humaneva.yaml").read_text())
    told = {"experiment=mixste_humaneva": True, "data=humaneva pretrain.keep=last finetune.keep=last": True}
    for choices, weighted in {command: False, "data=sample": True, **told}.items():
        monkeypatch.setattr("sys.argv", ["params", *choices.split()])
        main()
        assert load().finetune.loss.weighted is weighted
        assert ("finetune.loss.weighted=false" in capsys.readouterr().err) is (choices in told)


def test_a_data_set_needs_no_study(workplace: Path):
    Path("conf/data/mine.yaml").write_text(Path("conf/data/sample.yaml").read_text())
    assert write(["data=sample"]).study is not None
    assert write(["data=mine"]).study is None


def test_split_of_cmu_shares_no_subject(workplace: Path):
    split = write(["data=cmu"]).data.split
    groups = [set(split.labels.subjects), set(split.validation.subjects), set(split.test.subjects)]
    assert sum(map(len, groups)) == len(set.union(*groups))


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
    tree["data"]["licence"] = text
    Path("params.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(MixsteError, match=r"cannot use params\.yaml; found: data\.licence: "):
        load()


@pytest.mark.parametrize("content", [b"\xff\xfe\xfa", b"3", b"a: [", b"- 1"])
def test_what_is_no_settings_file_is_refused(workplace: Path, content: bytes):
    Path("params.yaml").write_bytes(content)
    with pytest.raises(MixsteError, match=r"params\.yaml"):
        load()
