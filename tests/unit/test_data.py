"""What `make data`, `make repro` and `make ui` say: the sample is made, changed data is named, results are shown."""

import logging
import subprocess
from pathlib import Path

import pytest
import yaml

from mixste.errors import MixsteError
from pipelines import data
from pipelines.params import write


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


def test_a_uri_that_mlflow_can_never_use_is_refused_before_anything_is_made(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "localhost:5000")
    with pytest.raises(MixsteError, match="MLFLOW_TRACKING_URI=http://localhost:5000"):
        data.main()
    assert not Path("data").exists()


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
