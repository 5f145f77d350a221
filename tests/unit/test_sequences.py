import numpy as np
import pytest
import torch

from mixste.errors import MixsteError
from mixste.sequences import NAMES, choose_fraction, read_sequences
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
    chosen = choose_fraction(data, fraction, seed=3)
    assert fraction * data.frames <= chosen.frames < fraction * data.frames + 18
    assert all(chosen.clips.count(clip) == data.clips.count(clip) for clip in chosen.clips)


def test_a_fraction_is_drawn_by_seed():
    data = sequences((9,) * 40)
    assert choose_fraction(data, 0.3, seed=3).clips == choose_fraction(data, 0.3, seed=3).clips
    assert choose_fraction(data, 0.3, seed=3).clips != choose_fraction(data, 0.3, seed=4).clips


def test_a_larger_fraction_holds_the_smaller_one():
    data = sequences((9,) * 40)
    assert {*choose_fraction(data, 0.2, seed=3).clips} < {*choose_fraction(data, 0.6, seed=3).clips}


def test_the_whole_is_the_whole():
    data = sequences()
    assert choose_fraction(data, 1.0, seed=0) is data
