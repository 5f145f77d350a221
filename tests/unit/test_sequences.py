import numpy as np
import pytest
import torch

from mixste.errors import MixsteError
from mixste.sequences import NAMES, choose_fraction, read_sequences
from mixste.table import read_table
from mixste.table_writer import write_table
from tests.unit.factories import CPU, FPS, SKELETON, sequences, write_projections


@pytest.fixture
def tables(tmp_path):
    first, second = sequences((8, 6, 5), seed=1), sequences((4, 3), seed=2)
    return first, second, [write_projections(tmp_path / f"{n}.parquet", part) for n, part in enumerate((first, second))]


def read(paths, **changes):
    return read_sequences(paths, **{"skeleton": SKELETON, "fps": FPS, **changes})


def test_tables_are_read_one_sequence_a_camera_of_a_clip_in_order(tables):
    first, second, paths = tables
    both = read(paths)
    assert both.offsets.tolist() == [0, 8, 14, 19, 23, 26]
    assert (len(both), both.frames) == (5, 26)
    for name in NAMES:
        assert getattr(both, name) == getattr(first, name) + getattr(second, name)
    assert torch.equal(both.keypoints, torch.cat([first.keypoints, second.keypoints]))
    assert torch.equal(both.joints, torch.cat([first.joints, second.joints]))
    assert (both.skeleton, both.fps) == (SKELETON, FPS)


def test_nothing_to_read_is_refused():
    with pytest.raises(MixsteError, match="no projection tables"):
        read([])


@pytest.mark.parametrize("wrong", [{"skeleton": "h36m16"}, {"fps": 25.0}])
def test_tables_of_another_skeleton_or_rate_are_refused(tables, wrong):
    with pytest.raises(MixsteError, match=next(iter(wrong))):
        read(tables[2], **wrong)


@pytest.mark.parametrize("column", ["keypoints", "joints"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_naming_file_and_column(tmp_path, column, value):
    data = sequences()
    getattr(data, column)[3, 2, 1] = value
    with pytest.raises(MixsteError, match=rf"bad\.parquet.*{column}"):
        read([write_projections(tmp_path / "bad.parquet", data)])


def test_selected_sequences_keep_their_frames_and_names():
    data = sequences((8, 6, 5))
    chosen = data.select([2, 0])
    assert chosen.offsets.tolist() == [0, 5, 13]
    assert chosen.clips == (data.clips[2], data.clips[0])
    assert torch.equal(chosen.keypoints, torch.cat([data.keypoints[14:19], data.keypoints[:8]]))
    assert torch.equal(chosen.joints, torch.cat([data.joints[14:19], data.joints[:8]]))


def test_no_sequences_can_be_selected():
    assert (len(sequences().select([])), sequences().select([]).frames) == (0, 0)


def test_moving_to_a_device_changes_no_value():
    data = sequences()
    moved = data.to(CPU)
    assert torch.equal(moved.keypoints, data.keypoints)
    assert moved.clips == data.clips


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.7])
def test_a_fraction_takes_whole_clips_with_all_their_cameras(fraction):
    data = sequences((9,) * 40)
    chosen = data.select(choose_fraction(data, fraction, seed=3))
    assert fraction * data.frames <= chosen.frames < fraction * data.frames + 18
    assert all(chosen.clips.count(clip) == data.clips.count(clip) for clip in chosen.clips)


def test_a_fraction_is_drawn_by_seed():
    data = sequences((9,) * 40)
    assert choose_fraction(data, 0.3, seed=3) == choose_fraction(data, 0.3, seed=3)
    assert choose_fraction(data, 0.3, seed=3) != choose_fraction(data, 0.3, seed=4)


def test_a_larger_fraction_holds_the_smaller_one():
    data = sequences((9,) * 40)
    assert {*choose_fraction(data, 0.2, seed=3)} < {*choose_fraction(data, 0.6, seed=3)}


def test_the_whole_is_the_whole():
    data = sequences()
    assert choose_fraction(data, 1.0, seed=0) == [*range(len(data))]


def write(path, data, valid=None, scale=None, **metadata):
    """A projections table with the columns that only some data sets have."""
    write_projections(path, data, **metadata)
    columns, about = read_table(path, kind="projections", skeleton=SKELETON)
    extra = {name: values for name, values in (("valid", valid), ("scale", scale)) if values is not None}
    write_table(path, [{**columns, **extra}], about)
    return path


def test_validity_scale_and_unit_come_with_the_frames(tmp_path):
    valid, scale = np.arange(19) % 3 > 0, np.linspace(2, 3, 19, dtype=np.float32)
    path = write(tmp_path / "a.parquet", sequences((8, 6, 5)), valid, scale, unit="screen")
    data = read([path])
    assert data.unit == "screen"
    assert data.valid.tolist() == valid.tolist()
    assert data.scale.tolist() == scale.tolist()
    chosen = data.select([2])
    assert (chosen.valid.tolist(), chosen.scale.tolist()) == (valid[14:].tolist(), scale[14:].tolist())


def test_tables_without_those_columns_hold_valid_metres(tmp_path, tables):
    path = write(tmp_path / "a.parquet", sequences((3,)), np.array([True, False, True]), np.full(3, 2, np.float32))
    both = read([tables[2][1], path])
    assert both.valid.tolist() == [True] * 8 + [False, True]
    assert both.scale.tolist() == [1.0] * 7 + [2.0] * 3
    assert (read(tables[2]).valid, read(tables[2]).scale) == (None, None)


def test_units_are_not_mixed(tmp_path, tables):
    path = write_projections(tmp_path / "screen.parquet", sequences(), unit="screen")
    with pytest.raises(MixsteError, match=r"joints in m in 0\.parquet, screen in screen\.parquet"):
        read([tables[2][0], path])


def test_screen_units_have_a_scale_in_all_tables_or_in_none(tmp_path):
    scaled = write(tmp_path / "a.parquet", sequences((3,)), scale=np.full(3, 2, np.float32), unit="screen")
    bare = write(tmp_path / "b.parquet", sequences((3,)), unit="screen")
    with pytest.raises(MixsteError, match="1 of 2 without the column scale"):
        read([scaled, bare])


def test_a_scale_that_is_not_finite_is_refused(tmp_path):
    path = write(tmp_path / "a.parquet", sequences((3,)), scale=np.array([1, np.nan, 1], np.float32))
    with pytest.raises(MixsteError, match=r"a\.parquet.*scale"):
        read([path])
