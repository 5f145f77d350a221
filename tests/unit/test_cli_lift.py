"""`mixste lift` with stand-ins for readers and writers: what it lifts, writes, says and refuses."""

import sys
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from mixste.cli import main
from mixste.errors import MixsteError
from mixste.lifting.camera import read_camera
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


def test_a_report_has_all_that_was_said_of_the_input_and_when_its_person_begins(world, model, monkeypatch, capsys):
    monkeypatch.setattr(Motion, "located", lambda motion, *_, **__: motion.changed("The root's place was found."))
    world.ghosts = {"person 3": "person 3 (9 frames) is left out: a picture"}
    run("-o", "out.npz", "-o", "out.html", "--model", model, "--person", "all", "--camera", "60deg", "--height", "1.8")
    first, second = (motion.report for motion in world.written.values())
    assert first[:2] == second[:2] == ("two people", "person 3 (9 frames) is left out: a picture")
    assert first[2] == second[2] == said_of_camera()
    assert second[3] == "Begins at frame 7 (0.140 s) of the input."
    assert not any("Begins" in sentence for sentence in first)
    assert first[-1].startswith("The root's place")
    assert world.pages["out-2.html"]["motion"].report == second
    said = capsys.readouterr().out
    assert said.count("two people") == 1
    assert "person 2: Begins at frame 7" in said


def said_of_camera():
    return read_camera("60deg", SIZE)[1][0]


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
        (
            ["fps"],
            [],
            "cannot lift in.json; found: no frame rate in it; to mend it: give what is missing, as --fps 30\n",
        ),
        (["image_size"], [], "found: no image size in it; to mend it: give what is missing, as --image-size 1920x1080"),
        (
            ["fps", "image_size"],
            [],
            "found: no frame rate and no image size in it; "
            "to mend it: give what is missing, as --fps 30 --image-size 1920x1080",
        ),
        (None, ["--person", "3"], "there is no such person to lift; found: --person 3; expected: 1, 2 or all"),
        (None, ["--person", "first"], "found: --person first; expected: a number, from 1 on, or all"),
        (None, ["--person", "0"], "found: --person 0; expected: a number, from 1 on, or all"),
        (None, ["-o", "out.doc"], "cannot save a motion as out.doc"),
        (None, ["--model", "nowhere"], "no model nowhere"),
        (None, ["--device", "gpu"], "unknown device"),
    ],
)
def test_what_cannot_be_done_is_one_message_before_anything_is_written(
    world, model, capsys, missing, arguments, message
):
    for name in missing or []:
        setattr(world.found, name, None)
    with pytest.raises(SystemExit) as stopped:
        run("-o", "out.npz", "--model", model, *arguments)
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert world.written == {}


def stopped_before(capsys, *arguments):
    """The message of a command that may not get as far as is patched to fail."""
    with pytest.raises(SystemExit):
        run(*arguments)
    return capsys.readouterr().err


@pytest.fixture
def unread(world, monkeypatch):
    """No model is loaded and nothing read."""

    def fail(*_, **__):
        raise AssertionError("it went on")

    monkeypatch.setattr("mixste.lifter.Lifter.load", fail)
    monkeypatch.setattr(sys.modules["mixste.detections"], "read_detections", fail)
    return world


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--height", "178"],
            "no person is this tall; found: 178 m; expected: 0.3 to 3 metres; to mend it: give metres",
        ),
        (["--camera", "1,2,3"], "cannot tell the camera; found: 1,2,3"),
        (["--camera", "200deg"], "no camera sees so; found: 200 degrees"),
        (["--threshold", "1.5"], "found: threshold 1.5"),
        (["--threshold", "nan"], "found: threshold nan"),
        (["--fps", "50", "--smooth", "25"], "found: 25 Hz; expected: above 0 and below half the frame rate, 25 Hz"),
        (["--fps", "50", "--smooth-root", "40", "--camera", "60deg"], "found: 40 Hz"),
        (["--smooth-root", "4"], "--smooth-root without --camera"),
        (["--person", "first"], "found: --person first"),
        (["--person", "0"], "found: --person 0"),
        (["-o", "in.json/out.npz"], "in.json, which is no folder"),
        (["-o", "folder.npz"], "cannot write folder.npz; found: a folder"),
        (["-o", "link.npz"], "cannot write link.npz; found: the input is there"),
        (["--save-keypoints", "kp.txt"], "cannot write kp.txt; found: .txt; expected: .parquet"),
        (["--save-keypoints", "folder.parquet"], "cannot write folder.parquet; found: a folder"),
        (["--save-keypoints", "link.parquet"], "cannot write link.parquet; found: the input is there"),
    ],
)
def test_what_the_options_say_is_refused_before_anything_is_read(unread, tmp_path, capsys, arguments, message):
    for name in ("folder.npz", "folder.parquet"):
        (tmp_path / name).mkdir()
    for name in ("link.npz", "link.parquet"):
        (tmp_path / name).symlink_to("in.json")
    assert message in stopped_before(capsys, "-o", "out.npz", *arguments)
    assert (tmp_path / "in.json").read_text() == "{}"


@pytest.mark.parametrize("option", ["--smooth", "--smooth-root"])
def test_a_cutoff_is_refused_as_soon_as_the_frame_rate_is_known(world, model, capsys, monkeypatch, option):
    monkeypatch.setattr(sys.modules["mixste.detections"], "tracks", None)
    message = stopped_before(capsys, "-o", "out.npz", "--model", model, "--camera", "60deg", option, "25")
    assert "below half the frame rate, 25 Hz" in message


@pytest.mark.parametrize(("gpus", "more"), [(False, ""), (True, ", or lift with --device cpu")])
def test_memory_that_is_too_small_is_said_with_what_to_do(world, model, capsys, monkeypatch, gpus, more):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("mixste.lifter.Lifter.lift", fail)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    monkeypatch.setattr("mixste.lifter.Lifter.load", lambda *_, **__: lifter())
    message = stopped_before(capsys, "-o", "out.npz", "--model", "model", "--device", "auto")
    assert "too small for model and its windows; found: CUDA out of memory. Tried to allocate 2.00 GiB;" in message
    assert message.endswith(f"end what else takes that memory{more}\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.mkdir(), "cannot write out-2.npz; found: a folder"),
        (lambda path: path.symlink_to("in.json"), "cannot write out-2.npz; found: the input is there"),
    ],
)
def test_the_places_of_all_people_are_checked_before_anyone_is_lifted(
    world, model, tmp_path, capsys, monkeypatch, change, message
):
    change(tmp_path / "out-2.npz")
    monkeypatch.setattr("mixste.lifter.Lifter.lift", None)
    assert message in stopped_before(capsys, "-o", "out.npz", "--model", model, "--person", "all")
