"""Every script in examples/ runs as it stands, from the root of the checkout, and leaves what it says."""

import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from mixste.cli import main
from mixste.models.checkpoint import save_model
from mixste.motion import Motion
from tests.unit.lifters import flat

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
LEAVES = {
    "bvh_for_blender.py": {"grounded.bvh", "located.bvh"},
    "lift_from_registry.py": {"champion.npz"},
    "lift_openpose.py": {"openpose", "openpose.npz", "openpose.csv", "openpose.parquet"},
    "own_detector.py": {"markers.mkv", "markers.bvh"},
    "two_people.py": {"two.npz", "person 1.bvh", "person 2.bvh"},
    "viewer_with_truth.py": {"walk.html"},
    "walk.py": {"walk.npz"},
    "onnx_lift.py": {"joints.npy"},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model folder as `make repro` leaves one; it takes everyone for a picture of themselves, five metres away."""
    own = flat(metres=5 * 960 / 1500)
    place = tmp_path_factory.mktemp("model") / "finetuned"
    save_model(place, own.model.state_dict(), own.config)
    return place


def registered(model: Path, store: Path, place: Path) -> str:
    """Register the model as the champion of a store of its own."""
    from mlflow import MlflowClient

    place.mkdir()
    uri = f"sqlite:///{shutil.copy(store, place / 'mlflow.db')}"
    shutil.copytree(model, place / "logged/artifacts/finetuned")
    flavors = {"python_function": {"artifacts": {"model": {"path": "artifacts/finetuned"}}}}
    (place / "logged/MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    client = MlflowClient(uri, uri)
    client.create_registered_model("mixste")
    client.create_model_version("mixste", (place / "logged").as_uri())
    client.set_registered_model_alias("mixste", "champion", "1")
    return uri


def exported(model: Path, place: Path) -> list[str]:
    """Export the model and write what its example lifts."""
    main(["export", str(model), "-o", str(place / "model.onnx")])
    np.save(place / "keypoints.npy", np.load(walked(place))["keypoints"])
    return [*(str(place / name) for name in ("model.onnx", "keypoints.npy")), "1920", "1080", str(place / "joints.npy")]


def walked(place: Path) -> Path:
    runpy.run_path(str(ROOT / "examples/walk.py"), run_name="__main__")
    return place / "walk.npz"


# What a script is given where it is not a model folder and a folder to write to.
GIVEN: dict[str, Callable[[Path, Path], list[str]]] = {
    "walk.py": lambda model, place: [str(place)],
    "onnx_lift.py": exported,
    "lift_from_registry.py": lambda model, place: ["models:/mixste@champion", str(place)],
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_runs_and_leaves_what_it_says(name, model, empty_store, tmp_path, monkeypatch, capsys):
    place = tmp_path / "out"
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setattr(sys, "argv", [name, str(place)])
    if name == "lift_from_registry.py":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", registered(model, empty_store, tmp_path / "registry"))
    arguments = GIVEN.get(name, lambda model, place: [str(model), str(place)])(model, place)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    assert {path.name for path in place.iterdir()} >= LEAVES[name]
    if name != "onnx_lift.py":
        assert capsys.readouterr().out


def test_what_the_examples_leave_is_the_walk(model, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setattr(sys, "argv", ["lift_openpose.py", str(model), str(tmp_path)])
    given = runpy.run_path(str(ROOT / "examples/lift_openpose.py"), run_name="__main__")
    motion = Motion.load(tmp_path / "openpose.parquet")
    assert given["found"].skeleton == "body25"
    joints = given["walk"]()[0]
    legs = [1, 2, 3, 4, 5, 6]  # what OpenPose and Human3.6M both have
    picture = 5 * joints[..., :2] / joints[..., 2:]  # what the model makes of it
    off = motion.joints[:, legs, :2] - (picture - picture[:, :1])[:, legs]
    assert np.linalg.norm(off, axis=-1).mean() < 0.02


def test_examples_lift_with_the_model_that_comes_along_unless_they_are_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setattr(sys, "argv", ["lift_openpose.py"])
    left = runpy.run_path(str(ROOT / "examples/lift_openpose.py"), run_name="__main__")
    joints = left["walk"]()[0]
    off = Motion.load("runs/examples/openpose.npz").joints - (joints - joints[:, :1])
    assert np.linalg.norm(off[:, :9], axis=-1).mean() < 0.12  # the trunk and legs; OpenPose would have seen the ears


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_is_short_and_says_how_to_run_it(name):
    text = (ROOT / "examples" / name).read_text()
    assert len(text.splitlines()) <= 42  # a screen
    assert f"python examples/{name} " in text.split('"""')[1]
