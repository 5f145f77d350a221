import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mixste.captures import read_capture
from mixste.captures.formats.asfamc import find_asf, read_amc, read_asf
from mixste.errors import MixsteError

# bone: parent, direction, length, axis degrees, axis order, degrees of freedom
BONES = {
    "lhip": ("root", (0.6, -0.8, 0.0), 2.0, (0, 0, 0), "XYZ", ""),
    "lfemur": ("lhip", (0.0, -2.0, 0.0), 7.0, (10, -20, 30), "XYZ", "rx ry rz"),
    "ltibia": ("lfemur", (0.0, -0.6, 0.8), 6.0, (-90, 15, 20), "ZXY", "rz rx"),
    "spine": ("root", (0.0, 1.0, 0.0), 3.0, (5, 6, 7), "YXZ", "rz ry rx"),
    "head": ("spine", (1.0, 0.0, 0.0), 1.0, (180, -30, -90), "XYZ", "ry"),
}
ROOT = ("TX TZ TY RZ RX RY", "ZXY", (1.0, 2.0, 3.0), (40, 50, 60))
AMC_ORDER = ("root", "spine", "head", "lfemur", "ltibia")


def asf_text(angle="deg", length="0.45"):
    scale = 1.0 if angle == "deg" else np.pi / 180
    angles = lambda values: " ".join(repr(float(value * scale)) for value in values)  # noqa: E731
    blocks = []
    for number, (name, (_, direction, size, axis, order, dof)) in enumerate(BONES.items()):
        lines = [f"id {number}", f"name {name}", "direction " + " ".join(map(str, direction)), f"length {size}"]
        lines += [f"axis {angles(axis)} {order}"]
        lines += [f"dof {dof}", "limits (-160.0 20.0)", "       (-70.0 70.0)"] if dof else []
        blocks.append("  begin\n     " + "\n     ".join(lines) + "\n  end")
    children = {parent: [name for name in BONES if BONES[name][0] == parent] for parent in ("root", *BONES)}
    tree = "\n".join(f"    {parent} {' '.join(names)}" for parent, names in children.items() if names)
    order, axis, position, orientation = ROOT
    return (
        "# a comment\n:version 1.10\n:name TEST\n"
        f":units\n  mass 1.0\n  length {length}\n  angle {angle}\n:documentation\n  made by hand\n"
        f":root\n  order {order}\n  axis {axis}\n  position {' '.join(map(str, position))}\n"
        f"  orientation {angles(orientation)}\n:bonedata\n"
        + "\n".join(blocks)
        + f"\n:hierarchy\n  begin\n{tree}\n  end\n"
    )


def counts():
    return {"root": 6} | {name: len(bone[5].split()) for name, bone in BONES.items() if bone[5]}


def write(folder, frames=4, seed=0, angle="deg", numbers=None):
    """Write 07.asf and 07_01.amc; return the AMC's path and its values in degrees, {bone: (t n)}."""
    random = np.random.default_rng(seed)
    values = {name: random.uniform(-170, 170, (frames, counts()[name])) for name in AMC_ORDER}
    (folder / "07.asf").write_text(asf_text(angle))
    lines = ["#!OML:ASF", ":FULLY-SPECIFIED", ":DEGREES" if angle == "deg" else ":RADIANS"]
    for frame in range(frames):
        lines.append(str(numbers[frame] if numbers else frame + 1))
        for name in AMC_ORDER:
            row = values[name][frame].copy()
            if angle == "rad":
                row[3 if name == "root" else 0 :] *= np.pi / 180
            lines.append(f"{name} " + " ".join(repr(float(value)) for value in row))
    path = folder / "07_01.amc"
    path.write_text("\n".join(lines) + "\n")
    return path, values


def turned(order, degrees):
    """Extrinsic rotations one after the other, in scipy's words."""
    return Rotation.from_euler(order.lower(), degrees, degrees=True)


def naive(values, frame):
    """The textbook recursion with scipy, one bone at a time: {bone: end}."""
    order, axis, position, orientation = ROOT
    channels = dict(zip(order.lower().split(), values["root"][frame], strict=True))
    base = turned(axis, [orientation["XYZ".index(letter)] for letter in axis])
    spins = [name for name in order.lower().split() if name[0] == "r"]
    move = turned("".join(name[1] for name in spins), [channels[name] for name in spins])
    turns = {"root": base * move * base.inv()}
    ends = {"root": np.add(position, [channels[name] for name in ("tx", "ty", "tz")])}
    for name, (parent, direction, length, degrees, axes, dof) in BONES.items():
        base = turned(axes, [degrees["XYZ".index(letter)] for letter in axes])
        move = Rotation.identity()
        if dof:
            move = turned(dof.replace("r", "").replace(" ", ""), values[name][frame])
        turns[name] = turns[parent] * base * move * base.inv()
        ends[name] = ends[parent] + turns[name].apply(np.array(direction) / np.linalg.norm(direction) * length)
    return ends


@pytest.mark.parametrize("angle", ["deg", "rad"])
def test_positions_agree_with_the_textbook_recursion(tmp_path, angle):
    path, values = write(tmp_path, angle=angle)
    capture = read_capture(path, "asfamc")
    assert capture.fps is None
    assert capture.joints == ("root", "lhip", "lfemur", "ltibia", "spine", "head")
    for frame in range(4):
        expected = naive(values, frame)
        for joint, name in enumerate(capture.joints):
            np.testing.assert_allclose(capture.positions[frame, joint], expected[name], atol=1e-9)


def test_positions_by_hand(tmp_path):
    """A root turned by 90 degrees about Y carries +X to -Z; a knee that bends about its own X brings the shin up."""
    bones = """:units
  length 1
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    name hip
    direction 1 0 0
    length 2
    axis 0 0 0 XYZ
  end
  begin
    name shin
    direction 0 -1 0
    length 3
    axis 0 0 90 XYZ
    dof rx
  end
:hierarchy
  begin
    root hip
    hip shin
  end
"""
    (tmp_path / "s.asf").write_text(bones)
    (tmp_path / "a.amc").write_text(":DEGREES\n1\nroot 1 2 3 0 90 0\nshin 0\n2\nroot 0 0 0 0 0 0\nshin 90\n")
    positions = read_capture(tmp_path / "a.amc", "asfamc").positions
    np.testing.assert_allclose(positions[0], [[1, 2, 3], [1, 2, 1], [1, -1, 1]], atol=1e-12)
    # the shin's own X is the world's Y: turning about it leaves a bone along -Y where it is
    np.testing.assert_allclose(positions[1], [[0, 0, 0], [2, 0, 0], [2, -3, 0]], atol=1e-12)


def test_a_bone_without_freedom_follows_its_parent(tmp_path):
    path, values = write(tmp_path)
    values["root"][:] = 0
    capture = read_capture(path, "asfamc")
    lengths = np.linalg.norm(capture.positions[:, 1] - capture.positions[:, 0], axis=1)
    np.testing.assert_allclose(lengths, 2.0)


def test_frame_numbers_are_kept(tmp_path):
    path, _ = write(tmp_path, numbers=[5, 6, 9, 10])
    assert read_capture(path, "asfamc").numbers.tolist() == [5, 6, 9, 10]


def test_numbers_that_are_not_are_read_as_such(tmp_path):
    path, values = write(tmp_path)
    path.write_text(path.read_text().replace(repr(float(values["head"][2, 0])), "nan"))
    positions = read_capture(path, "asfamc").positions
    assert np.isnan(positions[2, 5]).all()
    assert np.isfinite(positions[:, :5]).all()


@pytest.mark.parametrize("drop", [1, 2, 5, 7])
def test_a_file_cut_after_a_line_is_refused_at_its_frame(tmp_path, drop):
    path, _ = write(tmp_path, frames=6)
    lines = path.read_text().splitlines()
    cut = len(lines) - drop
    path.write_text("\n".join(lines[:cut]) + "\n")
    if (cut - 3) % 6 == 0:
        assert len(read_amc(path).numbers) == (cut - 3) // 6
    else:
        with pytest.raises(MixsteError, match=r"07_01\.amc at frame [56].*cut short"):
            read_amc(path)


def test_a_file_cut_in_its_last_line_is_refused(tmp_path):
    path, _ = write(tmp_path)
    path.write_text(path.read_text().rstrip().rsplit(" ", 1)[0])
    with pytest.raises(MixsteError, match="at frame 4"):
        read_amc(path)


@pytest.mark.parametrize(("old", "new"), [("head ", "neck "), ("root ", "root x"), ("ltibia ", "ltibia 1 ")])
def test_a_frame_unlike_the_first_is_named(tmp_path, old, new):
    path, _ = write(tmp_path)
    before, mark, after = path.read_text().partition("\n3\n")
    path.write_text(before + mark + after.replace(old, new, 1))
    with pytest.raises(MixsteError, match="at frame 3"):
        read_amc(path)


def test_a_file_without_frames_is_refused(tmp_path):
    path, _ = write(tmp_path)
    path.write_text(":FULLY-SPECIFIED\n:DEGREES\n")
    with pytest.raises(MixsteError, match="no whole frame"):
        read_amc(path)


def test_another_subjects_skeleton_is_refused(tmp_path):
    path, _ = write(tmp_path)
    asf = tmp_path / "07.asf"
    asf.write_text(asf.read_text().replace("dof ry\n", "dof ry rz\n"))
    with pytest.raises(MixsteError, match=r"head: 1 values; expected: head: 2 values"):
        read_capture(path, "asfamc")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("angle deg", "angle gradians", "unknown unit of angle; found: gradians"),
        ("length 0.45", "length 0", "unknown unit of length"),
        ("order TX", "order QX", "order of the root"),
        ("dof rz rx", "dof rz l", "bone ltibia cannot be moved so"),
        ("ZXY", "ZXX", "order of an axis"),
        ("direction 0.6 -0.8 0.0", "direction 0.6 down 0.0", "usable"),
        (":hierarchy", ":tree", "hierarchy"),
        ("    spine head\n", "", "no place for head"),
        ("    spine head\n", "    spine head lhip\n", "lhip, twice"),
    ],
)
def test_a_damaged_skeleton_is_refused_by_name(tmp_path, old, new, message):
    (tmp_path / "07.asf").write_text(asf_text().replace(old, new, 1))
    with pytest.raises(MixsteError, match=message) as error:
        read_asf(tmp_path / "07.asf")
    assert "07.asf" in str(error.value)


def test_the_skeleton_is_found_beside_the_motion(tmp_path):
    path, _ = write(tmp_path)
    (tmp_path / "08.asf").write_text(asf_text())
    assert find_asf(path).name == "07.asf"
    (tmp_path / "07.asf").unlink()
    assert find_asf(path).name == "08.asf"
    (tmp_path / "09.asf").write_text(asf_text())
    with pytest.raises(MixsteError, match=r"08\.asf, 09\.asf"):
        find_asf(path)
