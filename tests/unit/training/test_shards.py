import pytest
import torch

from mixste.sequences import open_sequences
from mixste.training.shards import shard_of
from mixste.windows import cut, gather
from tests.unit.factories import CPU, FPS, SKELETON, sequences, write_projections

LENGTHS = (30, 21, 5, 40)


@pytest.fixture(params=["in memory", "in tables"])
def source(request, tmp_path):
    """The same sequences, from memory and from two tables."""
    if request.param == "in memory":
        return sequences(LENGTHS)
    data = sequences(LENGTHS)
    halves = [write_projections(tmp_path / f"{n}.parquet", data.select(own)) for n, own in enumerate(([0, 1], [2, 3]))]
    return open_sequences(halves, skeleton=SKELETON, fps=FPS)


@pytest.mark.parametrize("own", [[0, 1], [3], [2, 9, 10], [0, 4, 8, 10]])
def test_own_windows_are_those_of_all_the_sequences_and_others_are_not_read(source, own):
    whole, windows = sequences(LENGTHS), cut(source.offsets, 9, 9)
    own = torch.tensor(own)
    shard = shard_of(source, windows, own)
    for name in ("keypoints", "joints"):
        expected = gather(getattr(whole, name), windows.index(own))
        assert torch.equal(gather(getattr(shard.data, name), shard.windows.index(own)), expected)
    holding = {int(torch.searchsorted(source.offsets, first, right=True)) - 1 for first in windows.first[own]}
    assert shard.data.clips == tuple(whole.clips[i] for i in sorted(holding))


def test_a_shard_of_no_windows_holds_a_sequence():
    data = sequences(LENGTHS)
    assert len(shard_of(data, cut(data.offsets, 9, 9), torch.arange(0)).data) == 1


def test_moving_a_shard_to_a_device_changes_nothing():
    data, own = sequences(LENGTHS), torch.tensor([2, 3])
    shard = shard_of(data, cut(data.offsets, 9, 9), own)
    assert torch.equal(shard.to(CPU).windows.index(own), shard.windows.index(own))
