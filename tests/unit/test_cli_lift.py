"""`mixste lift` with stand-ins for readers and writers: what it lifts, writes, says and refuses."""

import sys
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from mixste.cli import main
from mixste.errors import MixsteError
from mixste.models.checkpoint import save_model
from mixste.motion import Motion
from tests.unit.lifters import SIZE, lifter, person


@dataclass(frozen=True)
class Track:
    keypoints: np.ndarray
    skeleton: str
    name: str
    first: int


@pytest.fixture
def model(tmp_path):
    own = lifter()
    save_model(tmp_path / "model", own.model.state_dict(), own.config)
    return str(tmp_path / "model")


@pytest.fixture
def world(monkeypatch, tmp_path):
    """Two people at 50 fps; what is written, by file name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.json").write_text("{}")
    people = [Track(person(30, seed=0), "h36m17", "person 1", 0), Track(person(20, seed=1), "h36m17", "person 2", 7)]
    found = SimpleNamespace(fps=50.0, image_size=SIZE, report=("two people",))
    world = SimpleNamespace(found=found, people=people, written={}, pages={}, ghosts={})

    def read(path, **known):
        values = {name: value for name, value in known.items() if value is not None and name in ("fps", "image_size")}
        return SimpleNamespace(**{**vars(found), **values})

    def writer_of(path):
        if path.suffix not in (".npz", ".html"):
            raise MixsteError(f"cannot save a motion as {path}", found=path.suffix)

    def save(motion, path):
        world.written[path.name] = motion
        return path

    def write_html(path, motion, **beside):
        world.pages[path.name] = {"motion": motion, **beside}
        return path

    detections, files, viewer = (ModuleType(name) for name in ("detections", "motion_files", "viewer"))
    detections.read_detections, detections.tracks = read, lambda detections, fps: world.people
    detections.ghosts = lambda tracks, fps: world.ghosts
    files.writer_of, viewer.write_html = writer_of, write_html
    for name, module in (("detections", detections), ("motion_files", files), ("viewer", viewer)):
        monkeypatch.setitem(sys.modules, f"mixste.{name}", module)
    monkeypatch.setattr(Motion, "save", save, raising=False)
    return world


def run(*arguments):
    main(["lift", "in.json", "--device", "cpu", *arguments])


def test_the_person_seen_most_is_lifted_and_what_was_done_is_said(world, model, capsys):
    run("-o", "out.npz", "--model", model)
    expected = lifter().lift(world.people[0].keypoints, skeleton="h36m17", fps=50, image_size=SIZE)
    assert np.array_equal(world.written["out.npz"].joints, expected.joints)
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["two people", "2 people; lifting person 1"]
    assert said[-1] == "person 1: 30 frames from frame 0 on -> out.npz"


def test_all_people_get_a_file_each_in_every_format(world, model, capsys):
    run("-o", "a/out.npz", "-o", "out.html", "--model", model, "--person", "all")
    assert list(world.written) == ["out-1.npz", "out-2.npz"]
    assert [len(motion.joints) for motion in world.written.values()] == [30, 20]
    assert list(world.pages) == ["out-1.html", "out-2.html"]
    page = world.pages["out-2.html"]
    assert page["keypoints"] is world.people[1].keypoints
    assert page["keypoint_skeleton"] == "h36m17"
    assert "person 2: 20 frames from frame 7 on -> a/out-2.npz" in capsys.readouterr().out


def test_options_reach_the_lifter(world, model):
    run("-o", "out.npz", "--model", model, "--person", "2", "--fps", "25", "--image-size", "2000x900", "--no-flip")
    given = {"skeleton": "h36m17", "fps": 25, "image_size": (2000, 900)}
    expected = lifter(flip=False).lift(world.people[1].keypoints, **given)
    assert np.array_equal(world.written["out.npz"].joints, expected.joints)


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ([], []),
        (["--smooth", "6"], ["smoothed 6"]),
        (["--ground", "--height", "1.8", "--smooth", "5"], ["smoothed 5", "scaled 1.8", "z_up", "grounded"]),
        (["--z-up"], ["z_up"]),
    ],
)
def test_what_becomes_of_the_motion_happens_in_one_order(world, model, monkeypatch, arguments, steps):
    def step(name):
        def change(motion, *values):
            text = " ".join([name, *(f"{value:g}" for value in values)])
            return replace(motion, report=(*motion.report, f"step {text}"))

        return change

    for name in ("smoothed", "scaled", "z_up", "grounded"):
        monkeypatch.setattr(Motion, name, step(name), raising=False)
    run("-o", "out.npz", "--model", model, *arguments)
    report = world.written["out.npz"].report
    assert [text.removeprefix("step ") for text in report if text.startswith("step ")] == steps


@pytest.mark.parametrize(
    ("missing", "arguments", "message"),
    [
        ("fps", [], "cannot lift in.json; found: no frame rate in it; to mend it: give --fps"),
        ("image_size", [], "found: no image size in it; to mend it: give --image-size"),
        (None, ["--person", "3"], "there is no such person to lift; found: --person 3; expected: 1, 2 or all"),
        (None, ["--person", "first"], "found: --person first"),
        (None, ["-o", "out.doc"], "cannot save a motion as out.doc"),
        (None, ["--model", "nowhere"], "no model in nowhere"),
        (None, ["--device", "gpu"], "unknown device"),
    ],
)
def test_what_cannot_be_done_is_one_message_before_anything_is_written(
    world, model, capsys, missing, arguments, message
):
    if missing:
        setattr(world.found, missing, None)
    with pytest.raises(SystemExit) as stopped:
        run("-o", "out.npz", "--model", model, *arguments)
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert world.written == {}
