"""Animations play at the motion's speed; a video needs ffmpeg, and says so."""

import os
from pathlib import Path

import numpy as np
import pytest

from mixste.errors import MixsteError
from tests.unit.motions import camera, world

ENCODER = """#!{python}
import sys
pictures = sys.stdin.buffer.read()
{then}
open(sys.argv[-1], "wb").write(" ".join(sys.argv[1:]).encode() + b"|" + str(len(pictures)).encode())
"""


def encoder(folder: Path, monkeypatch: pytest.MonkeyPatch, then: str = "") -> None:
    """Put a stand-in for ffmpeg on the PATH: it writes its arguments and how many bytes it was handed."""
    import sys

    path = folder / "bin/ffmpeg"
    path.parent.mkdir()
    path.write_text(ENCODER.format(python=sys.executable, then=then))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")


def test_a_gif_lasts_as_long_as_the_motion(tmp_path):
    from PIL import Image

    with Image.open(world(frames=slice(0, 50)).save(tmp_path / "m.gif")) as image:
        assert image.format == "GIF"
        assert image.n_frames == 10  # every fifth of 60 frames a second
        assert image.info["duration"] == 80
        assert image.info["loop"] == 0
        first = np.asarray(image.convert("RGB"))
        image.seek(9)
        assert (np.asarray(image.convert("RGB")) != first).any()


def test_a_world_and_a_level_camera_look_the_same(tmp_path):
    frames = slice(0, 6)
    joints = world(frames=frames).joints - world(frames=frames).joints[:, :1]
    files = [camera(frames=frames).save(tmp_path / "a.gif")]
    files.append(world(frames=frames).changed(joints=joints).save(tmp_path / "b.gif"))
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_video_is_handed_to_ffmpeg_as_raw_pictures_at_its_rate(tmp_path, monkeypatch):
    encoder(tmp_path, monkeypatch)
    said, count = camera(frames=slice(0, 8)).save(tmp_path / "m.mp4").read_text().split("|")
    width, height = map(int, said.split("-s ")[1].split()[0].split("x"))
    assert int(count) == 4 * width * height * 3  # every second of 60 frames a second
    assert "-r 30.0" in said
    assert width % 2 == height % 2 == 0  # yuv420p takes no other


def test_without_ffmpeg_a_video_is_refused_and_the_mend_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MixsteError, match=r"no ffmpeg.*install ffmpeg.*\.gif or \.html"):
        camera(frames=slice(0, 2)).save(tmp_path / "m.mp4")
    assert list(tmp_path.iterdir()) == []


def test_what_ffmpeg_says_is_told_and_nothing_half_written_stays(tmp_path, monkeypatch):
    encoder(tmp_path, monkeypatch, then="sys.exit('no encoder for this')")
    with pytest.raises(MixsteError, match="no encoder for this"):
        camera(frames=slice(0, 2)).save(tmp_path / "m.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]
