"""AMASS from its settings to tables: what is used, what is noted, what is refused, and what stops everything."""

import json
import logging
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from omegaconf import OmegaConf

from mixste.errors import MixsteError
from mixste.settings.rules import SettingsError
from mixste.settings.typed import build
from mixste.skeleton import load_skeleton
from mixste.table import read_table
from pipelines import prepare
from pipelines.settings.composing import compose
from pipelines.settings.data import DataSettings
from tests.unit.captures.formats.body_files import write_bodies, write_clip

ROOT = Path(__file__).parents[2]
LOCAL = SimpleNamespace(address=None)
HERE = Path("data/amass")


def settings(**body):
    """conf/data/amass.yaml with its first data set alone."""
    tree = OmegaConf.to_container(compose(["data=amass"], ROOT / "conf").data)
    tree["sources"] = tree["sources"][:1]
    tree["sources"][0]["body"] |= {"regressor": "body_models/regressor.npy", **body}
    return build(DataSettings, tree, "conf")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with clips of two people and the body models, where `prepare.main` runs without Ray."""
    monkeypatch.chdir(tmp_path)
    write_clip(HERE / "CMU/07/07_01_poses.npz", 120)
    write_clip(HERE / "CMU/07/07_02_stageii.npz", 90, new=True, gender="female")
    write_clip(HERE / "CMU/16/16_01_poses.npz", 60, gender="female", seed=1)
    np.savez(HERE / "CMU/16/shape.npz", gender="female", betas=np.zeros(16))
    np.savez(HERE / "CMU/07/neutral_stagei.npz", gender="neutral", betas=np.zeros(16), labels=np.array([{}]))
    write_bodies(HERE / "body_models")
    monkeypatch.setattr(prepare, "fan_out", lambda function, items, title, **_: [function(item) for item in items])
    monkeypatch.setattr(prepare.tracking, "run", lambda *_, **__: nullcontext(MagicMock()))
    return monkeypatch


def run(monkeypatch, data):
    monkeypatch.setattr(prepare, "load", lambda: SimpleNamespace(data=data, cluster=LOCAL))
    prepare.main()
    return json.loads(prepare.PREPARED.read_text())


def test_clips_become_tables_and_nothing_is_passed_over(place, caplog):
    with caplog.at_level(logging.WARNING):
        report = run(place, settings())
    assert sorted(path.name for path in prepare.RECORDINGS.iterdir()) == ["CMU-07.parquet", "CMU-16.parquet"]
    columns, metadata = read_table(prepare.RECORDINGS / "CMU-07.parquet", kind="recordings", skeleton="h36m17", fps=50)
    assert metadata.licence.startswith("AMASS")
    assert list(dict.fromkeys(columns["trial"])) == ["07_01_poses", "07_02_stageii"]
    head, ankle = (columns["joints"][:, load_skeleton("h36m17").index(name), 2] for name in ("head", "l_ankle"))
    assert (head - ankle > 1.2).all()
    assert report["total"]["files"] == 5
    assert {row["file"]: "no clip" in row["reason"] for row in report["rejected"]} == {
        "CMU/07/neutral_stagei.npz": True,
        "CMU/16/shape.npz": True,
    }
    assert "rejected CMU/16/shape.npz" in caplog.text


def test_without_a_regressor_the_bodys_own_joints_stand_in_and_the_report_says_so(place):
    data = settings(regressor=None, soft=None)
    data = replace(data, sources=(replace(data.sources[0], joint_map="smplh52"),))
    about = run(place, data)["sources"]["CMU"]
    assert about["joints"]["spine"] == "near: spine2"
    assert about["joints"]["head"].startswith("synthesised: neck")
    assert about["notes"] == {"soft tissue (dmpls) is ignored: joints of the skeleton do not need it": 2}


def test_a_gender_without_a_model_stops_all_unless_another_is_named(place):
    (HERE / "body_models/smplh/female/model.npz").unlink()
    with pytest.raises(MixsteError, match=r"no body model .*female/model.npz"):
        run(place, settings())
    assert not prepare.RECORDINGS.exists()
    notes = run(place, settings(fallback="male"))["sources"]["CMU"]["notes"]
    assert notes == {"female body: the male model is used": 2}


def test_a_regressor_needs_a_map_of_its_names_and_a_body_its_format(place):
    data = settings()
    wrong = replace(data, sources=(replace(data.sources[0], joint_map="smplh52"),))
    with pytest.raises(MixsteError, match=r"joint map smplh52 does not fit; found: no joint spine2, spine3"):
        run(place, wrong)
    with pytest.raises(SettingsError, match=r"body: found None, expected the body models"):
        replace(data.sources[0], body=None)
    with pytest.raises(SettingsError, match=r"null elsewhere"):
        replace(data.sources[0], format="bvh")
