"""`mixste lift` and `mixste view` on real files: video, camera, who is left out, and bad input, each one message."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from mixste.cli import main
from mixste.detections import read_detections
from mixste.models.checkpoint import save_model
from mixste.motion import Motion
from tests.unit.detections.walkers import walker
from tests.unit.lifters import echo, lifter
from tests.unit.video.clips import FPS, HEIGHT, WIDTH, write_clip

SIZE = ["--image-size", "1920x1080"]
DETECTOR = "from tests.unit.video.clips import Finder, nobody\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model, keypoints of a walk in npz, and a detector of one's own."""
    own = lifter()
    save_model(tmp_path / "model", own.model.state_dict(), own.config)
    np.savez(tmp_path / "walk.npz", keypoints=walker(40, (300, 300), 6), fps=30, image_size=(1920, 1080))
    (tmp_path / "mine.py").write_text(DETECTOR)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    main(["lift", *arguments, "--model", "model", "--device", "cpu"])


def refused(capsys, *arguments) -> str:
    """The one message that a command ends with; nothing is written."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run(*arguments, "-o", "out.npz")
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def test_a_video_is_lifted_with_a_detector_of_ones_own_and_again_from_the_keypoints(place, capsys):
    write_clip(place / "clip.mp4")
    run("clip.mp4", "-o", "out.npz", "-o", "out.bvh", "--detector", "mine:Finder", "--save-keypoints", "found.parquet")
    said = capsys.readouterr().out
    assert "video: 20 frames, 1 person in each" in said
    assert "person 1: 20 frames from frame 0 on -> out.bvh" in said
    motion = Motion.load("out.npz")
    assert (motion.fps, len(motion.joints)) == (FPS, 20)
    assert read_detections("found.parquet").image_size == (WIDTH, HEIGHT)
    run("found.parquet", "-o", "again.npz")
    np.testing.assert_allclose(Motion.load("again.npz").joints, motion.joints, atol=1e-6)
    message = "clip.mp4 is not of the size expected; found: 160 x 120 pixels in frame 0; expected: 640 x 480"
    assert message in refused(capsys, "clip.mp4", "--detector", "mine:Finder", "--image-size", "640x480")
    assert "nobody was detected in clip.mp4" in refused(capsys, "clip.mp4", "--detector", "mine:nobody")
    assert "the detector's weights are missing" in refused(capsys, "clip.mp4", "--weights", "none")


@pytest.fixture
def flat(monkeypatch):
    """A model that takes everyone for a picture of themselves: joints stand to each other as their pixels do."""
    made = echo(channels=3)
    monkeypatch.setattr("mixste.lifter.Lifter.load", lambda *_, **__: made)
    return made


def test_a_camera_puts_the_root_where_the_pixels_say_and_the_report_has_the_error(place, flat, capsys):
    run("walk.npz", "-o", "out.npz", "--camera", "60deg", "--height", "1.8", "--smooth-root", "3")
    motion = Motion.load("out.npz")
    assert not motion.rooted
    assert (motion.joints[:, 0, 2] > 0.5).all()
    reports = "\n".join(motion.report)
    order = ["Scaled by", "to a stated height of 1.8 m", "reprojection error", "The root's path was smoothed"]
    assert [text for text in order if text in reports] == order
    assert re.search(r"person 1: .* reprojection error [\d.]+ pixels on average", capsys.readouterr().out)
    assert "found: 1,2,3, which is no file" in refused(capsys, "walk.npz", "--camera", "1,2,3")
    assert "found: --smooth-root without --camera" in refused(capsys, "walk.npz", "--smooth-root", "2")


def test_a_model_in_screen_units_needs_a_height_for_a_camera(place, flat, capsys):
    flat.config = replace(flat.config, unit="screen")
    assert "say how tall the person is, --height 1.75" in refused(capsys, "walk.npz", "--camera", "60deg")
    run("walk.npz", "-o", "out.npz", "--camera", "60deg", "--height", "1.75")
    assert Motion.load("out.npz").unit == "m"


def never_read(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("it was read")

    monkeypatch.setattr("mixste.detections.read_detections", fail)


def test_a_model_in_screen_units_needs_a_height_for_an_armature(place, flat, capsys, monkeypatch):
    flat.config = replace(flat.config, unit="screen")
    run("walk.npz", "-o", "out.bvh", "--height", "1.75")
    never_read(monkeypatch)
    message = refused(capsys, "walk.npz", "-o", "out.bvh")
    assert "cannot write out.bvh; found: a model that gives screen units, not metres" in message
    assert "--height 1.75" in message


def test_a_skeleton_without_a_pose_at_rest_is_refused_an_armature_before_it_is_read(place, flat, capsys, monkeypatch):
    flat.config = replace(flat.config, skeleton="cmu_amc")
    never_read(monkeypatch)
    assert "no armature can be made of skeleton cmu_amc" in refused(capsys, "walk.npz", "-o", "out.bvh")


def test_a_video_is_not_asked_for_without_ffmpeg(place, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(place))
    never_read(monkeypatch)
    assert "cannot write out.mp4; found: no ffmpeg" in refused(capsys, "walk.npz", "-o", "out.mp4")


def test_the_input_is_not_overwritten(place, capsys):
    before = (place / "walk.npz").read_bytes()
    assert "cannot write walk.npz; found: the input is there" in refused(capsys, "walk.npz", "-o", "walk.npz")
    run("walk.npz", "-o", "again.npz", "--save-keypoints", "kp.parquet")
    kept = (place / "kp.parquet").read_bytes()
    for arguments in (["-o", "kp.parquet"], ["--save-keypoints", "./kp.parquet"]):
        assert "found: the input is there" in refused(capsys, "kp.parquet", *arguments)
    for path in ("new.parquet", str(place / "new.parquet")):
        message = refused(capsys, "walk.npz", "-o", path, "--save-keypoints", "new.parquet")
        assert "found: --save-keypoints writes there" in message
    assert ((place / "walk.npz").read_bytes(), (place / "kp.parquet").read_bytes()) == (before, kept)


@pytest.mark.parametrize("ending", [".npz", ".csv", ".parquet", ".html"])
def test_a_file_carries_what_the_reader_guessed(place, ending):
    np.savez(place / "odd.npz", keypoints=walker(40, (300, 300), 6)[..., :2], fps=30)
    run("odd.npz", "-o", f"out{ending}", *SIZE)
    guessed = "every confidence is 1: the file has none that tells anything"
    if ending == ".html":
        assert guessed in (place / "out.html").read_text()
    else:
        report = Motion.load(f"out{ending}").report
        assert report[0] == "npz: 40 frames, 1 person in each"
        assert any(guessed in sentence for sentence in report)


def test_who_is_no_person_is_left_out_and_said_unless_all_people_are_wanted(place, capsys):
    picture = np.repeat(walker(1, (1200, 200), 0, height=150), 40, axis=0) * np.float32([1, 1, 0.6])
    np.savez(place / "two.npz", keypoints=np.stack([walker(40, (300, 300), 6), picture], axis=1), fps=30)
    run("two.npz", "-o", "out.npz", "--person", "all", *SIZE)
    assert sorted(path.name for path in place.glob("out*")) == ["out-1.npz"]
    said = capsys.readouterr().out
    assert "person 2 (40 frames) is left out: it stands as still as a picture" in said
    assert "(--all-people keeps them)" in said
    message = refused(capsys, "two.npz", "--person", "2", *SIZE)
    assert "found: --person 2, but person 2 (40 frames) is left out: it stands as still as a picture" in message
    assert "expected: 1 or all; to mend it: keep everyone: --all-people" in message
    assert refused(capsys, "two.npz", "--person", "3", *SIZE).endswith("found: --person 3; expected: 1 or all\n")
    run("two.npz", "-o", "out.npz", "--person", "all", "--all-people", *SIZE)
    assert sorted(path.name for path in place.glob("out*")) == ["out-1.npz", "out-2.npz"]


def test_view_lays_the_keypoints_of_the_person_beside_the_motion(place, capsys):
    run("walk.npz", "-o", "out.npz")
    main(["view", "out.npz"])
    alone = (place / "out.html").stat().st_size
    main(["view", "out.npz", "--keypoints", "walk.npz"])
    assert (place / "out.html").stat().st_size > alone
    np.savez(place / "short.npz", keypoints=walker(30, (300, 300), 6))
    for arguments, message in [
        (
            ["--keypoints", "short.npz"],
            "these keypoints are of another motion; found: 30 frames of person 1; expected: 40",
        ),
        (["--keypoints", "walk.npz", "--person", "2"], "there is no such person; found: --person 2; expected: 1 to 1"),
    ]:
        with pytest.raises(SystemExit):
            main(["view", "out.npz", *arguments])
        assert message in capsys.readouterr().err


BAD = {
    "wrong joint count": (lambda k: {"keypoints": k}, ["--skeleton", "body25"], "is not in the layout body25"),
    "no layout": (lambda k: {"keypoints": k[:, :12]}, [], "found: 12 joints a person"),
    "normalised": (lambda k: {"keypoints": k / (1920, 1080, 1)}, [], "look normalised, not pixels"),
    "swapped": (lambda k: {"keypoints": (k + np.array([900, 0, 0]))[..., [1, 0, 2]]}, [], "seem to be swapped"),
    "nobody": (lambda k: {"keypoints": k * 0}, [], "nobody was detected"),
    "all NaN": (lambda k: {"keypoints": k * np.nan}, [], "nobody was detected"),
    "0 fps": (lambda k: {"keypoints": k, "fps": 0}, [], "found: fps 0"),
    "threshold": (lambda k: {"keypoints": k}, ["--threshold", "2"], "found: threshold 2"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_keypoints_are_one_message(name, place, capsys):
    make, arguments, message = BAD[name]
    np.savez(place / "bad.npz", **{"fps": 30, **make(walker(40, (300, 300), 6).astype(float))})
    assert message in refused(capsys, "bad.npz", *SIZE, *arguments)
    assert not (place / "out.npz").exists()


FALLBACKS = {
    "one frame": (lambda k: k[:1], "There is one frame: it was lifted as if the person stood still."),
    "some NaN": (lambda k: np.where((np.arange(17) == 3)[:, None], np.nan, k), "are not numbers"),
    "negative": (lambda k: k - [0, 0, 1] * (np.arange(17) == 3)[:, None], "have negative confidence"),
    "no confidence": (lambda k: k[..., :2], "every confidence is 1: the file has none that tells anything"),
    "swapped a little": (lambda k: k[..., [1, 0, 2]], "x and y are swapped"),
}


@pytest.mark.parametrize("name", FALLBACKS)
def test_what_can_be_lifted_nevertheless_is_lifted_and_said(name, place, capsys):
    make, sentence = FALLBACKS[name]
    np.savez(place / "odd.npz", keypoints=make(walker(40, (300, 300), 6).astype(float)), fps=30)
    run("odd.npz", "-o", "out.npz", *SIZE)
    assert sentence in capsys.readouterr().out
    assert np.isfinite(Motion.load("out.npz").joints).all()


def test_a_file_of_another_kind_is_one_message(place, capsys):
    (place / "notes.txt").write_text("hello")
    (place / "mixed.json").write_text(
        json.dumps([{"image_id": f"{n}.jpg", "keypoints": [1.0] * 3 * count} for n, count in enumerate((17, 26))])
    )
    assert "there are no keypoints in notes.txt that can be read" in refused(capsys, "notes.txt")
    assert "1 person with 17 and 1 person with 26 joints" in refused(capsys, "mixed.json")
    assert "cannot read absent.npz; found: No such file" in refused(capsys, "absent.npz")
