import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixste.errors import MixsteError
from mixste.windows import centre, cut, gather, stitch


def offsets(lengths):
    return torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()])


def everything(windows):
    return windows.index(torch.arange(len(windows)))


@st.composite
def cuttings(draw):
    """Lengths of sequences, frames of a window, and a stride that leaves no gap."""
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    frames = draw(st.integers(1, 15))
    return lengths, frames, draw(st.integers(1, frames))


@settings(max_examples=40, deadline=None)
@given(cuttings())
def test_every_frame_is_in_a_window_and_no_window_leaves_its_sequence(cutting):
    lengths, frames, stride = cutting
    bounds = offsets(lengths)
    index = everything(cut(bounds, frames, stride))
    assert index.shape[1] == frames
    assert set(index.flatten().tolist()) == set(range(sum(lengths)))
    sequence = torch.bucketize(index, bounds[1:], right=True)
    assert (sequence == sequence[:, :1]).all()
    assert sorted(sequence[:, 0].tolist()) == sequence[:, 0].tolist()


@settings(max_examples=40, deadline=None)
@given(cuttings())
def test_frames_follow_each_other_and_only_a_short_sequences_last_frame_repeats(cutting):
    lengths, frames, stride = cutting
    bounds = offsets(lengths)
    index = everything(cut(bounds, frames, stride))
    steps = index.diff(dim=1)
    at_end = torch.isin(index[:, 1:], bounds[1:] - 1)
    assert ((steps == 1) | ((steps == 0) & at_end)).all()
    length = torch.tensor(lengths)[torch.bucketize(index[:, 0].contiguous(), bounds[1:], right=True)]
    assert ((steps == 0).sum(dim=1) == (frames - length).clamp(min=0)).all()


@settings(max_examples=40, deadline=None)
@given(cuttings())
def test_each_sequence_has_as_few_windows_as_its_stride_allows(cutting):
    lengths, frames, stride = cutting
    expected = sum(1 + -(-max(0, length - frames) // stride) for length in lengths)
    assert len(cut(offsets(lengths), frames, stride)) == expected


@settings(max_examples=40, deadline=None)
@given(cuttings(), st.integers(0, 2**31))
def test_stitching_gathered_windows_gives_the_frames_back(cutting, seed):
    lengths, frames, stride = cutting
    values = torch.randn((sum(lengths), 3, 2), generator=torch.Generator().manual_seed(seed))
    index = everything(cut(offsets(lengths), frames, stride))
    batches = ((gather(values, some), some) for some in index.split(3))
    torch.testing.assert_close(stitch(batches, len(values)), values, rtol=1e-5, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(cuttings(), st.integers(1, 4))
def test_a_centred_window_is_its_frame_and_its_neighbours_edges_repeated(cutting, step):
    lengths, frames, stride = cutting
    frames += 1 - frames % 2
    index = everything(cut(offsets(lengths), frames, stride, step=step, place="around"))
    expected, begin = [], 0
    for length in lengths:
        padded = [begin] * 1000 + list(range(begin, begin + length)) + [begin + length - 1] * 1000
        reach = frames // 2 * step
        middles = range(1000, 1000 + length, stride)
        expected += [padded[middle - reach : middle + reach + 1 : step] for middle in middles]
        begin += length
    assert index.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(cuttings(), st.integers(1, 4))
def test_windows_before_lie_half_a_window_before_the_ends_of_chunks(cutting, step):
    """STCFormer's: chunks of `stride` frames cover the sequence, their windows end so that the centre is early."""
    lengths, frames, stride = cutting
    frames += 1 - frames % 2
    index = everything(cut(offsets(lengths), frames, stride, step=step, place="before"))
    expected, begin, half = [], 0, (frames - 1) // 2
    for length in lengths:
        padded = [begin] * 1000 + list(range(begin, begin + length)) + [begin + length - 1] * 1000
        chunks = math.ceil(length / stride)
        for chunk in range(chunks):
            end = 1000 + (chunk + 1) * stride - (chunks * stride - length) // 2
            middle = end - half if stride > 1 else end
            expected.append(padded[middle - half * step - 1 : middle + half * step : step])
        begin += length
    assert index.tolist() == expected


def test_windows_before_are_those_around_where_there_is_one_for_every_frame():
    around, before = (everything(cut(offsets([9, 4]), 5, 1, step=2, place=place)) for place in ("around", "before"))
    assert torch.equal(around, before)


@settings(max_examples=40, deadline=None)
@given(cuttings(), st.integers(1, 4), st.integers(0, 2**31))
def test_the_centres_of_centred_windows_stitched_are_the_sequence(cutting, step, seed):
    lengths, frames, _ = cutting
    frames += 1 - frames % 2
    values = torch.randn((sum(lengths), 3, 2), generator=torch.Generator().manual_seed(seed))
    index = everything(cut(offsets(lengths), frames, 1, step=step, place="around"))
    assert torch.equal(stitch([(centre(gather(values, index)), centre(index))], len(values)), values)


def test_a_sequence_shorter_than_the_window_on_both_sides_gives_whole_windows():
    """P-STMO's code pads one side only, so such a window comes out short there."""
    index = everything(cut(offsets([4, 2]), 5, 1, step=2, place="around"))
    assert index[1].tolist() == [0, 0, 1, 3, 3]
    assert index[4].tolist() == [4, 4, 4, 5, 5]


def test_frames_of_a_window_can_lie_apart():
    index = everything(cut(offsets([8, 2]), 3, 2, step=2))
    assert index.tolist() == [[0, 2, 4], [2, 4, 6], [3, 5, 7], [8, 9, 9]]


@pytest.mark.parametrize("place", ["inside", "over", "around", "before"])
def test_a_window_of_one_frame_is_that_frame(place):
    index = everything(cut(offsets([3, 1]), 1, 1, step=3, place=place))
    assert index.tolist() == [[0], [1], [2], [3]]


@settings(max_examples=60, deadline=None)
@given(cuttings())
def test_windows_over_a_sequence_are_mixstes_training_chunks(cutting):
    """As many as cover it, its middle in theirs, edges repeated."""
    lengths, frames, _ = cutting
    index = everything(cut(offsets(lengths), frames, frames, place="over"))
    expected, begin = [], 0
    for length in lengths:
        count = math.ceil(length / frames)
        before = (count * frames - length) // 2
        padded = [begin] * before + list(range(begin, begin + length)) + [begin + length - 1] * frames
        expected += [padded[chunk * frames : (chunk + 1) * frames] for chunk in range(count)]
        begin += length
    assert index.tolist() == expected


def test_windows_over_a_sequence_overlap_by_what_the_stride_leaves():
    index = everything(cut(offsets([6]), 4, 3, place="over"))
    assert index.tolist() == [[0, 1, 2, 3], [3, 4, 5, 5]]


def test_windows_lie_where_they_lie_by_hand():
    index = everything(cut(offsets([7, 2]), 3, 3))
    assert index.tolist() == [[0, 1, 2], [3, 4, 5], [4, 5, 6], [7, 8, 8]]


def test_some_windows_can_be_asked_for_in_any_order():
    windows = cut(offsets([7, 2]), 3, 3)
    assert windows.index(torch.tensor([3, 0, 3])).tolist() == [[7, 8, 8], [0, 1, 2], [7, 8, 8]]


def test_gathered_values_keep_joints_and_channels_together():
    values = torch.arange(5 * 2 * 3).reshape(5, 2, 3)
    index = torch.tensor([[0, 1], [4, 4]])
    assert torch.equal(gather(values, index), values[index])


def test_overlapping_windows_are_blended_by_distance_to_their_border():
    index = torch.tensor([[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]])
    predicted = torch.stack([torch.full((5, 1, 1), 10.0), torch.full((5, 1, 1), 40.0)])
    blended = [(2 * 10 + 1 * 40) / 3, (1 * 10 + 2 * 40) / 3]  # frames 3 and 4: second last and last of the first
    assert stitch([(predicted, index)], 8).flatten().tolist() == pytest.approx([10.0] * 3 + blended + [40.0] * 3)


@pytest.mark.parametrize(("frames", "stride", "step"), [(0, 1, 1), (3, 0, 1), (3, 1, 0)])
def test_windows_without_frames_stride_or_step_are_refused(frames, stride, step):
    with pytest.raises(MixsteError, match=f"{frames} frames, stride {stride}, step {step}"):
        cut(offsets([5]), frames, stride, step=step)


def test_stitching_nothing_is_refused():
    with pytest.raises(MixsteError, match="no windows"):
        stitch([], 3)
