"""Real small videos through a stand-in detector: what is read, what is said, what is refused."""

import itertools
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from mixste.detections import tracks
from mixste.errors import MixsteError
from mixste.video import is_video, read_video
from mixste.video import reading as reading_module
from mixste.video.frames import Video, opened
from tests.unit.video.clips import FPS, HEIGHT, JOINTS, WIDTH, Finder, left, nobody, turn_clockwise, write_clip


def lefts(found) -> list[float]:
    return [float(people[0, 0, 0]) for people in found.frames if len(people)]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mpeg4"), ("a.mkv", "mpeg4"), ("a.avi", "mpeg4")])
def test_people_frame_rate_and_size_come_out_of_the_file(name, codec, tmp_path):
    path = write_clip(tmp_path / name, codec=codec)
    assert is_video(path)
    told = []
    found = read_video(path, Finder(), tell=lambda done, total: told.append((done, total)))
    assert (found.fps, found.image_size, found.skeleton, found.format) == (FPS, (WIDTH, HEIGHT), "coco17", "video")
    assert found.report[0] == "video: 20 frames, 1 person in each"
    np.testing.assert_allclose(lefts(found), [left(n) for n in range(20)], atol=2)
    assert told[-1] == (20, 20)
    (track,) = tracks(found)
    assert track.keypoints.shape == (20, JOINTS, 3)


def test_a_video_that_players_turn_is_seen_as_they_show_it(tmp_path):
    path = write_clip(tmp_path / "a.mp4")
    turn_clockwise(path)
    found = read_video(path, Finder())
    assert found.image_size == (HEIGHT, WIDTH)
    tops = [float(people[0, 0, 1]) for people in found.frames]  # what went right goes down
    np.testing.assert_allclose(tops, [left(n) for n in range(20)], atol=2)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_places_of_dropped_frames_stay_empty_and_that_is_said(name, tmp_path):
    moments = [*range(10), *range(12, 32)]
    found = read_video(write_clip(tmp_path / name, 30, moments=moments), Finder())
    assert found.fps == pytest.approx(FPS)
    assert [len(people) for people in found.frames] == [1] * 10 + [0, 0] + [1] * 20
    said = "frames are not evenly spaced: at 25 fps 0 of 30 frames have no place and are left out, 2 places are empty"
    assert said in found.report


def test_a_frame_rate_that_varies_wildly_is_refused(tmp_path):
    moments = [*range(20), *range(20, 220, 10)]
    with pytest.raises(MixsteError, match=r"the frame rate of .* varies; found: at .* have no place, and"):
        read_video(write_clip(tmp_path / "a.mkv", 40, moments=moments), Finder())


def test_a_stated_frame_rate_goes_before_the_files(tmp_path):
    found = read_video(write_clip(tmp_path / "a.mp4"), Finder(), fps=240)
    assert (found.fps, len(found.frames)) == (240, 20)
    with pytest.raises(MixsteError, match="found: fps 0; expected: more than 0"):
        read_video(tmp_path / "a.mp4", Finder(), fps=0)


def test_a_file_without_a_frame_rate_is_refused_unless_one_is_stated(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", 8)

    @contextmanager
    def without_rate(path):
        with opened(path) as video:
            yield Video((), video.length, video.square, ((None, image) for _, image in video.frames))

    monkeypatch.setattr(reading_module, "opened", without_rate)
    finder = Finder()
    with pytest.raises(MixsteError, match=r"a\.mp4 says no frame rate; found: fps 0; expected: more than 0; to mend"):
        read_video(path, finder)
    assert finder.pictures == 0
    found = read_video(path, Finder(), fps=30)
    assert (found.fps, len(found.frames)) == (30, 8)
    assert any("taken for even, 30 fps" in sentence for sentence in found.report)


def test_frames_come_one_at_a_time(tmp_path):
    finder = Finder()
    with opened(write_clip(tmp_path / "a.mp4")) as video:
        for number, (_, image) in enumerate(itertools.islice(video.frames, 3)):
            finder(image)
            assert finder.pictures == number + 1


HELD = """
import sys
from pathlib import Path
import numpy as np
from mixste.video import read_video

class Two:
    skeleton, held = "coco17", []

    def __call__(self, image):
        self.held.append(int(Path("/proc/self/statm").read_text().split()[1]))
        return np.full((2, 17, 3), 0.5) + np.arange(17)[:, None] * (1, 1, 0)

read_video(sys.argv[1], Two())
sys.stdout.write(f"{len(Two.held)} {Two.held[-1] - Two.held[50]}")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="tells no memory")
def test_memory_does_not_grow_with_the_length(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for _ in range(300):
            container.mux(stream.encode(av.VideoFrame(1280, 720, "yuv420p")))
        container.mux(stream.encode())
    done = subprocess.run([sys.executable, "-c", HELD, path], capture_output=True, text=True, check=True)
    frames, pages = map(int, done.stdout.split())
    assert frames == 300
    assert pages * resource.getpagesize() < 60e6  # the pictures are 829e6


def test_a_video_without_anybody_is_one_error(tmp_path):
    with pytest.raises(MixsteError, match=r"nobody was detected in .*a\.mp4 \(video\); found: 20 frames without"):
        read_video(write_clip(tmp_path / "a.mp4"), nobody)


def test_damage_is_one_error_that_names_the_file(tmp_path):
    path = write_clip(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:300])
    assert is_video(path)
    with pytest.raises(MixsteError, match=r"cannot read the video .*a\.mp4; found: .*; expected: a whole video"):
        read_video(path, Finder())


def test_what_is_no_video_is_told_from_one(tmp_path):
    (tmp_path / "a.mp4").write_text("{}")
    (tmp_path / "b.mp4").write_bytes(b"PK\x03\x04")
    assert not is_video(tmp_path)
    assert not is_video(tmp_path / "a.mp4")
    assert not is_video(tmp_path / "b.mp4")
    with pytest.raises(MixsteError, match="No such file"):
        is_video(tmp_path / "absent.mp4")


def test_a_detector_that_gives_something_else_is_named_with_the_frame(tmp_path):
    class Wrong(Finder):
        def __call__(self, image):
            return super().__call__(image)[..., :2]

    with pytest.raises(MixsteError, match=r"no people in frame 0; found: \(1, 17, 2\); expected: \(people, 17 joints"):
        read_video(write_clip(tmp_path / "a.mp4", 4), Wrong())
