"""How far a program is from the model, and on which windows that is measured."""

import pytest
import torch

from mixste.errors import MixsteError
from mixste.exporting.parity import WINDOWS, distance, every_size, random_windows, read_windows
from mixste.inference import lift
from tests.unit.exporting.exported import made
from tests.unit.factories import sequences, write_projections

NETWORK, CONFIG = made()


def test_the_distance_is_of_joints_in_millimetres():
    def three_and_four_millimetres_off(windows):
        return lift(NETWORK, windows) + torch.tensor([0.003, 0.0, -0.004])

    windows = random_windows(NETWORK, 2, 9)
    found = distance(three_and_four_millimetres_off, NETWORK, [windows[:1], windows])
    assert found.mean == pytest.approx(5.0, abs=1e-3)
    assert found.most == pytest.approx(5.0, abs=1e-2)
    assert distance(lambda given: lift(NETWORK, given), NETWORK, [windows]).most == 0


def test_another_shape_is_refused():
    with pytest.raises(MixsteError, match=r"for keypoints \(1, 9, 17, 3\); found: \(1, 8, 17, 3\)"):
        distance(lambda given: lift(NETWORK, given[:, 1:]), NETWORK, [random_windows(NETWORK, 1, 9)])


@pytest.mark.parametrize(
    ("settings", "lengths"),
    [
        ({}, {1, 2, 5, 9}),
        ({"architecture": "pstmo"}, {9}),
        ({"output": "centre"}, {9}),
        ({"frames": 1}, {1}),
        ({"frames": 3}, {1, 2, 3}),
    ],
)
def test_every_length_from_the_shortest_to_the_longest_is_tried_in_two_batches(settings, lengths):
    network = made(**settings)[0]
    assert {(len(windows), windows.shape[1]) for windows in every_size(network)} == {
        (batch, frames) for batch in (1, 3) for frames in lengths
    }


def test_random_windows_are_the_same_every_time_and_hide_a_joint_in_each():
    windows = random_windows(NETWORK, 4, 9)
    assert torch.equal(windows, random_windows(NETWORK, 4, 9))
    hidden = (windows == 0).all(dim=-1)
    assert torch.equal(hidden.all(dim=1).nonzero(), torch.tensor([[0, 0], [1, 1], [2, 2], [3, 3]]))
    assert hidden.sum() == 4 * 9
    assert random_windows(made(channels=2)[0], 4, 9).shape == (4, 9, 17, 2)


def test_windows_of_data_come_from_all_of_its_sequences(tmp_path):
    data = sequences((90, 9, 45))
    path = write_projections(tmp_path / "a.parquet", data)
    windows = read_windows(CONFIG, path)
    assert windows.shape == (16, 9, 17, 3)
    assert torch.equal(windows[0], data.keypoints[:9])
    assert torch.equal(windows[-1], data.keypoints[-9:])
    many = write_projections(tmp_path / "b.parquet", sequences((20,) * 100))
    assert len(read_windows(CONFIG, many)) == WINDOWS


@pytest.mark.parametrize("change", [{"fps": 25.0}, {"skeleton": "mpi17"}])
def test_data_of_another_kind_are_refused(tmp_path, change):
    path = write_projections(tmp_path / "a.parquet", sequences((20,)), **change)
    with pytest.raises(MixsteError, match=r"a.parquet"):
        read_windows(CONFIG, path)


def test_a_folder_without_projections_is_named(tmp_path):
    with pytest.raises(MixsteError, match=f"no projections in {tmp_path}; .*as datasets/projections/rig"):
        read_windows(CONFIG, tmp_path)
