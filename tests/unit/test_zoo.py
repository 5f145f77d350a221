"""The models that come with the package are whole, say what they are, and lift people."""

import hashlib
import re

import numpy as np
import pytest

from mixste import Lifter, zoo
from mixste.cli import main
from mixste.models.checkpoint import CONFIG, WEIGHTS, read_config
from tests.unit.motions import FPS, camera

SIZE, FOCAL, AWAY = (1000, 1000), 1150.0, 4.5  # pixels and metres


def pixels(joints):
    """Joints (t 17 3) around the root as a camera sees them that far away."""
    x, y, z = np.moveaxis(joints, -1, 0) + np.array([0, 0, AWAY])[:, None, None]
    return np.stack([FOCAL * x / z + SIZE[0] / 2, FOCAL * y / z + SIZE[1] / 2, np.ones_like(x)], axis=-1)


def turned(joints, degrees):
    """The person turned about the camera's vertical axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return joints @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])


@pytest.mark.parametrize("name", zoo.names())
def test_a_model_and_its_card_are_of_one_mind(name):
    folder = zoo.FOLDER / name
    assert {file.name for file in folder.iterdir()} == {WEIGHTS, CONFIG, "README.md"}
    card, weights = (folder / "README.md").read_text(), (folder / WEIGHTS).read_bytes()
    assert re.findall(r"\b[0-9a-f]{64}\b", card) == [hashlib.sha256(weights).hexdigest()]
    assert read_config(folder).provenance["licence"] in card.replace("\n", " ")
    assert len(weights) < 3e6


@pytest.mark.parametrize("name", zoo.names())
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_model_lifts_people_whom_nobody_recorded(name, degrees):
    lifter = Lifter.load(name)
    errors = []
    for action in ("walking", "squatting", "sitting", "waving"):
        true = turned(camera("S3", action).joints, degrees)
        found = lifter.lift(pixels(true), skeleton="h36m17", fps=FPS, image_size=SIZE).joints
        errors.append(np.linalg.norm(found - true, axis=-1).mean())
    assert np.mean(errors) < 0.1


def test_a_folder_of_ones_own_takes_precedence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = zoo.names()[0]
    main(["info", name])
    assert "licence" in capsys.readouterr().out
    (tmp_path / name).mkdir()
    with pytest.raises(SystemExit):
        main(["info", name])
    assert f"no model in {name}" in capsys.readouterr().err
