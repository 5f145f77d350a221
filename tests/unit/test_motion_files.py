"""Files carry all that a motion is, come back as it was, read in pandas, and are whole or not there at all."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mixste.errors import MixsteError
from mixste.motion import Motion
from mixste.motion_files import ENDINGS, writer_of
from mixste.skeleton import load_skeleton
from tests.unit.motions import camera

LOADED = (".npz", ".csv", ".parquet")


def motion(**values) -> Motion:
    return camera(
        frames=slice(0, 5), report=("Neck: guessed from nose, and shoulders.", "2 frames were filled."), **values
    )


@pytest.mark.parametrize("ending", LOADED)
@pytest.mark.parametrize("values", [{}, {"unit": "screen", "report": ()}, {"frame": "world", "rooted": False}])
def test_a_motion_comes_back_as_it_was(ending, values, tmp_path):
    saved = motion().changed(**values) if "report" not in values else camera(frames=slice(0, 5), unit="screen")
    loaded = Motion.load(saved.save(tmp_path / f"m{ending}"))
    np.testing.assert_array_equal(loaded.joints, saved.joints)
    for name in ("skeleton", "fps", "unit", "frame", "rooted", "report"):
        assert getattr(loaded, name) == getattr(saved, name)


@pytest.mark.parametrize("ending", [*LOADED, ".bvh", ".gif"])
def test_the_same_motion_is_the_same_bytes(ending, tmp_path):
    first, second = (motion().save(tmp_path / f"{name}{ending}").read_bytes() for name in "ab")
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{ending}", f"b{ending}"]


@pytest.mark.parametrize(
    "read", [lambda p: pd.read_csv(f"{p}.csv", comment="#"), lambda p: pd.read_parquet(f"{p}.parquet")]
)
def test_pandas_reads_a_row_for_each_joint_and_frame(read, tmp_path):
    for ending in (".csv", ".parquet"):
        motion().save(tmp_path / f"m{ending}")
    rows = read(tmp_path / "m")
    assert list(rows.columns) == ["frame", "time", "joint", "x", "y", "z"]
    assert len(rows) == 5 * 17
    wrist = rows[rows["joint"] == "l_wrist"]
    assert wrist["time"].tolist() == pytest.approx([n / 60 for n in range(5)], abs=1e-6)
    place = load_skeleton("h36m17").index("l_wrist")
    np.testing.assert_allclose(wrist[["x", "y", "z"]], motion().joints[:, place], rtol=1e-6)


def test_npz_opens_without_pickle_and_names_its_joints(tmp_path):
    with np.load(motion().save(tmp_path / "m.npz"), allow_pickle=False) as file:
        assert tuple(file["joint_names"]) == load_skeleton("h36m17").joints
        assert (file["unit"].item(), file["frame"].item(), file["fps"].item()) == ("m", "camera", 60.0)


@pytest.mark.parametrize("name", ["m.fbx", "m", "m.BVHX"])
def test_an_unknown_ending_is_refused_with_a_list_of_the_known(name, tmp_path):
    with pytest.raises(MixsteError, match=r"cannot save.*\.bvh, \.npz, \.csv, \.parquet, \.html, \.mp4, \.gif"):
        motion().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_video_has_no_writer_without_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MixsteError, match="no ffmpeg"):
        writer_of(tmp_path / "m.MP4")
    (tmp_path / "ffmpeg").touch(mode=0o755)
    assert writer_of(tmp_path / "m.MP4") is ENDINGS[".mp4"]


def test_endings_may_be_in_capitals(tmp_path):
    assert Motion.load(motion().save(tmp_path / "M.NPZ")).fps == 60.0


def _cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def _drop_a_row(path):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:20] + lines[21:]))


def _forget(path):
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "fps" not in line))


@pytest.mark.parametrize(
    ("ending", "harm", "said"),
    [
        (".npz", _cut, "cannot load .*m.npz"),
        (".parquet", _cut, "cannot load .*m.parquet"),
        (".csv", _drop_a_row, "84 rows that are not every frame's 17 joints"),
        (".csv", _forget, "KeyError: 'fps'"),
        (".csv", lambda path: path.write_text(""), "cannot load .*m.csv"),
        (".npz", lambda path: np.savez(path, joints=np.zeros((1, 17, 3))), "skeleton"),
        (".parquet", lambda path: pd.DataFrame({"x": [1.0]}).to_parquet(path), "KeyError"),
        (".csv", lambda path: path.unlink(), "no such file"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_by_name(ending, harm, said, tmp_path):
    path = motion().save(tmp_path / f"m{ending}")
    harm(path)
    with pytest.raises(MixsteError, match=said):
        Motion.load(path)


def test_what_cannot_be_loaded_is_refused(tmp_path):
    with pytest.raises(MixsteError, match=r"cannot load a motion from .*; found: .bvh; expected: .npz, .csv, .parquet"):
        Motion.load(tmp_path / "m.bvh")


def test_html_is_the_viewers(tmp_path, monkeypatch):
    shown = []
    viewer = SimpleNamespace(write_html=lambda path, motion: shown.append((path, motion)))
    monkeypatch.setitem(sys.modules, "mixste.viewer", viewer)
    saved = motion()
    saved.save(tmp_path / "m.html")
    assert shown == [(tmp_path / "m.html", saved)]


def test_every_ending_has_a_writer():
    assert all(callable(writer) for writer in ENDINGS.values())
