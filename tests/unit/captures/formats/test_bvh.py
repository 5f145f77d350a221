from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mixste.captures import read_capture
from mixste.captures.formats.bvh import joint_positions, read_bvh, write_bvh
from mixste.errors import MixsteError

TEXT = """HIERARCHY
ROOT Hips
{
  OFFSET 1.0 2.0 3.0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Left Leg
  {
    OFFSET 0 -4 0
    CHANNELS 2 Yrotation Xrotation
    JOINT Slider
    {
      OFFSET 0.5 0 1e1
      CHANNELS 4 Zposition Xrotation Zrotation Xposition
      End Site
      {
        OFFSET 0 -1 0.5
      }
    }
    JOINT Fixed
    {
      OFFSET 1 1 1
      JOINT Tip
      {
        OFFSET 0 0 2
        CHANNELS 1 Xrotation
      }
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.0166667
"""
CHANNELS = 13


def write(folder, values, text=TEXT):
    path = folder / "trial.bvh"
    path.write_text(text + "\n".join(" ".join(map(repr, row)) for row in values.tolist()) + "\n")
    return path


def naive(text, row):
    """Read the hierarchy by recursion and multiply 4x4 matrices for one frame: {joint: position}."""
    words, values, found = text.split("MOTION")[0].split()[1:], list(row), {}

    def joint(parent, above):
        kind = words.pop(0)
        name = " ".join(words[: words.index("{")])
        del words[: words.index("{") + 1]
        local, angles = np.eye(4), Rotation.identity()
        while words[0] != "}":
            if words[0] == "OFFSET":
                local[:3, 3] = [float(word) for word in words[1:4]]
                del words[:4]
            elif words[0] == "CHANNELS":
                count = int(words[1])
                for channel in words[2 : 2 + count]:
                    value = values.pop(0)
                    if "rot" in channel:
                        angles = angles * Rotation.from_euler(channel[0].lower(), value, degrees=True)
                    else:
                        local["XYZ".index(channel[0]), 3] = value
                del words[: 2 + count]
            else:
                local[:3, :3] = angles.as_matrix()
                joint(name, above @ local)
        words.pop(0)
        found[f"{parent}_End" if kind == "End" else name] = (above @ local)[:3, 3]

    joint("", np.eye(4))
    return found


def test_positions_agree_with_a_naive_reader(tmp_path):
    values = np.random.default_rng(1).uniform(-180, 180, (3, CHANNELS))
    bvh = read_bvh(write(tmp_path, values))
    assert bvh.names == ("Hips", "Left Leg", "Slider", "Slider_End", "Fixed", "Tip")
    assert bvh.parents == (-1, 0, 1, 2, 1, 4)
    positions = joint_positions(bvh)
    for frame, row in enumerate(values):
        expected = naive(TEXT, row)
        for joint, name in enumerate(bvh.names):
            np.testing.assert_allclose(positions[frame, joint], expected[name], atol=1e-9)


def test_positions_by_hand(tmp_path):
    values = np.zeros((3, CHANNELS))
    values[:, :3] = 10, 20, 30
    values[1, 3] = 90.0  # the root about Z: its -Y points along +X
    values[2, 7] = 90.0  # the leg about its X: Z turns to -Y
    positions = joint_positions(read_bvh(write(tmp_path, values)))
    np.testing.assert_allclose(positions[0, 0], [10, 20, 30])
    np.testing.assert_allclose(positions[0, 1], [10, 16, 30])
    np.testing.assert_allclose(positions[1, 1], [14, 20, 30], atol=1e-12)
    np.testing.assert_allclose(positions[2, 5], [11, 13, 31], atol=1e-12)


def test_the_position_channel_of_a_joint_replaces_its_offset(tmp_path):
    values = np.zeros((3, CHANNELS))
    values[:, 8], values[:, 11] = 7.0, 6.0
    positions = joint_positions(read_bvh(write(tmp_path, values)))
    np.testing.assert_allclose(positions[0, 2] - positions[0, 1], [6, 0, 7])


def test_a_round_trip_keeps_everything_and_gives_the_same_bytes(tmp_path):
    values = np.random.default_rng(2).uniform(-180, 180, (3, CHANNELS))
    bvh = read_bvh(write(tmp_path, values))
    write_bvh(tmp_path / "one.bvh", bvh, decimals=6)
    again = read_bvh(tmp_path / "one.bvh")
    write_bvh(tmp_path / "two.bvh", again, decimals=6)
    assert (again.names, again.parents, again.channels) == (bvh.names, bvh.parents, bvh.channels)
    np.testing.assert_allclose(again.values, bvh.values, atol=1e-6)
    np.testing.assert_allclose(again.offsets, bvh.offsets)
    assert (tmp_path / "one.bvh").read_bytes() == (tmp_path / "two.bvh").read_bytes()
    assert "End Site" in (tmp_path / "one.bvh").read_text()


def test_no_negative_zero_is_written(tmp_path):
    bvh = read_bvh(write(tmp_path, np.full((3, CHANNELS), -1e-9)))
    write_bvh(tmp_path / "out.bvh", bvh)
    assert "-0.0000" not in (tmp_path / "out.bvh").read_text()


def test_joints_out_of_order_are_not_written(tmp_path):
    bvh = read_bvh(write(tmp_path, np.zeros((3, CHANNELS))))
    with pytest.raises(MixsteError, match="order"):
        write_bvh(tmp_path / "out.bvh", replace(bvh, parents=(-1, 0, 0, 1, 1, 4)))
    assert not (tmp_path / "out.bvh").exists()


def test_a_capture_has_the_frame_rate(tmp_path):
    capture = read_capture(write(tmp_path, np.zeros((3, CHANNELS))), "bvh")
    assert capture.fps == 60.0
    assert capture.positions.shape == (3, 6, 3)
    assert capture.joints[3] == "Slider_End"


def test_not_a_number_is_read_as_such(tmp_path):
    values = np.zeros((3, CHANNELS))
    values[1, 4] = np.nan
    positions = joint_positions(read_bvh(write(tmp_path, values)))
    assert np.isfinite(positions[[0, 2]]).all()
    assert np.isnan(positions[1, 1]).all()


def test_line_ends_and_case_do_not_matter(tmp_path):
    path = write(tmp_path, np.ones((3, CHANNELS)))
    expected = joint_positions(read_bvh(path))
    text = path.read_text().replace("rotation", "ROTATION").replace("JOINT", "joint").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    np.testing.assert_array_equal(joint_positions(read_bvh(path)), expected)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Frames: 3", "Frames: 4", "found: 39 numbers; expected: 4 frames of 13"),
        ("Frames: 3", "Frames: three", "Frames: N"),
        ("0.0166667", "0", "frame time"),
        ("MOTION", "", "no MOTION"),
        ("Zrotation", "Wrotation", "CHANNELS"),
        ("OFFSET 1 1 1", "OFFSET 1 1 up", "OFFSET"),
        ("JOINT Tip", "JOINT Fixed", "one name"),
        ("HIERARCHY", "HIERARCHY nonsense", "nonsense"),
        ("  }\n}\nMOTION", "  }\nMOTION", "open brace"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, old, new, message):
    path = write(tmp_path, np.zeros((3, CHANNELS)), TEXT.replace(old, new, 1))
    with pytest.raises(MixsteError, match=message) as error:
        read_bvh(path)
    assert "trial.bvh" in str(error.value)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_file_cut_anywhere_is_refused(tmp_path, share):
    path = write(tmp_path, np.random.default_rng(3).normal(size=(3, CHANNELS)))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size) - 20])
    with pytest.raises(MixsteError, match=r"trial\.bvh"):
        read_bvh(path)


def test_words_among_the_numbers_are_named(tmp_path):
    path = write(tmp_path, np.zeros((3, CHANNELS)))
    path.write_text(path.read_text().replace("0.0 0.0\n", "0.0 oops\n", 1))
    with pytest.raises(MixsteError, match="'oops' in line 1"):
        read_bvh(path)


def test_empty_missing_and_binary_files_are_refused(tmp_path):
    (tmp_path / "empty.bvh").write_text("")
    (tmp_path / "binary.bvh").write_bytes(b"\0\1\2")
    for name in ("empty", "binary", "missing"):
        with pytest.raises(MixsteError, match=f"{name}.bvh"):
            read_bvh(tmp_path / f"{name}.bvh")


def test_a_clip_without_frames_and_an_unknown_format_are_refused(tmp_path):
    path = write(tmp_path, np.zeros((0, CHANNELS)), TEXT.replace("Frames: 3", "Frames: 0"))
    with pytest.raises(MixsteError, match="no frames"):
        read_capture(path, "bvh")
    with pytest.raises(MixsteError, match=r"format fbx.*bvh, asfamc"):
        read_capture(path, "fbx")
