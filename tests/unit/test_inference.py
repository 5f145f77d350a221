import pytest
import torch

from mixste.inference import lift, lift_sequences, mirror
from tests.unit.factories import FLIP, model, sequences

FLIP_TENSOR = torch.tensor(FLIP)


@pytest.fixture
def keypoints():
    return torch.randn((3, 9, 17, 3), generator=torch.Generator().manual_seed(0))


def test_mirroring_negates_x_and_swaps_left_and_right(keypoints):
    mirrored = mirror(keypoints, FLIP_TENSOR)
    left_knee, right_knee, head = 5, 2, 10
    assert torch.equal(mirrored[..., left_knee, :], keypoints[..., right_knee, :] * torch.tensor([-1.0, 1, 1]))
    assert torch.equal(mirrored[..., head, :], keypoints[..., head, :] * torch.tensor([-1.0, 1, 1]))


@pytest.mark.parametrize("channels", [2, 3])
def test_mirroring_twice_changes_nothing(keypoints, channels):
    x = keypoints[..., :channels]
    assert torch.equal(mirror(mirror(x, FLIP_TENSOR), FLIP_TENSOR), x)


def test_with_flip_the_result_is_the_mean_with_the_mirrored_inputs(keypoints):
    network = model()
    with torch.no_grad():
        plain, flipped = network(keypoints), mirror(network(mirror(keypoints, FLIP_TENSOR)), FLIP_TENSOR)
    torch.testing.assert_close(lift(network, keypoints, flip=FLIP_TENSOR), (plain + flipped) / 2)
    torch.testing.assert_close(lift(network, keypoints), plain)


def test_with_flip_a_mirrored_person_is_lifted_to_the_mirrored_pose(keypoints):
    network = model()
    mirrored = lift(network, mirror(keypoints, FLIP_TENSOR), flip=FLIP_TENSOR)
    expected = mirror(lift(network, keypoints, flip=FLIP_TENSOR), FLIP_TENSOR)
    torch.testing.assert_close(mirrored, expected, rtol=1e-5, atol=1e-5)


def test_a_model_of_two_channels_does_not_see_the_confidence(keypoints):
    network = model(channels=2)
    unsure = keypoints * torch.tensor([1.0, 1.0, 0.0])
    assert torch.equal(lift(network, keypoints), lift(network, unsure))


def test_bf16_gives_float32_near_fp32(keypoints):
    exact, rough = (lift(model(), keypoints, precision=precision) for precision in ("fp32", "bf16"))
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.1)


def test_whole_windows_are_lifted_one_by_one():
    data, network = sequences((27, 9)), model()
    expected = lift(network, data.keypoints.reshape(4, 9, 17, 3)).reshape(36, 17, 3)
    torch.testing.assert_close(lift_sequences(network, data, flip=None), expected)


def test_a_short_sequence_is_lifted_with_its_last_frame_repeated():
    data, network = sequences((5,)), model()
    padded = torch.cat([data.keypoints, data.keypoints[-1:].expand(4, -1, -1)])
    repeated = lift(network, padded[None])[0]
    expected = (repeated[4:] * torch.tensor([5.0, 4, 3, 2, 1])[:, None, None]).sum(0) / 15
    result = lift_sequences(network, data, flip=None)
    torch.testing.assert_close(result[:4], repeated[:4])
    torch.testing.assert_close(result[4], expected)


@pytest.mark.parametrize("overlap", [0, 4, 8])
def test_a_sequences_result_does_not_depend_on_its_neighbours_or_the_batch(overlap):
    data, network = sequences((30, 21, 5, 9)), model()
    together = lift_sequences(network, data, flip=FLIP_TENSOR, overlap=overlap, batch_size=3)
    for number, (low, high) in enumerate(data.offsets.unfold(0, 2, 1).tolist()):
        alone = lift_sequences(network, data.select([number]), flip=FLIP_TENSOR, overlap=overlap)
        torch.testing.assert_close(together[low:high], alone, rtol=1e-4, atol=1e-5)


def test_overlapping_windows_blend_two_predictions():
    data, network = sequences((13,)), model()
    first, last = lift(network, torch.stack([data.keypoints[:9], data.keypoints[4:]]))
    blended = lift_sequences(network, data, flip=None, overlap=5)
    torch.testing.assert_close(blended[:4], first[:4])
    torch.testing.assert_close(blended[9:], last[5:])
    torch.testing.assert_close(blended[4], (5 * first[4] + 1 * last[0]) / 6)


CENTRE = [
    {"architecture": "pstmo"},
    {"architecture": "pstmo", "step": 2},
    {"architecture": "stcformer", "output": "centre", "step": 3},
    {"architecture": "mixste", "output": "centre"},
]


@pytest.mark.parametrize("settings", CENTRE)
def test_a_model_that_keeps_the_centre_is_given_a_window_around_every_frame(settings):
    data, network = sequences((12, 5)), model(**settings)
    expected, reach, step = [], 4 * network.settings.step, network.settings.step
    for low, high in data.offsets.unfold(0, 2, 1).tolist():
        own = data.keypoints[low:high]
        padded = torch.cat([own[:1].expand(reach, -1, -1), own, own[-1:].expand(reach, -1, -1)])
        for frame in range(len(own)):
            with torch.no_grad():
                lifted = network(padded[None, frame : frame + 2 * reach + 1 : step])[0]
            expected.append(lifted[len(lifted) // 2])
    found = lift_sequences(network, data, flip=None, batch_size=5)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, *CENTRE])
def test_a_window_of_one_frame_is_lifted_frame_by_frame(settings):
    data, network = sequences((5, 1)), model(**{**settings, "frames": 1})
    expected = lift(network, data.keypoints[:, None])[:, 0]
    torch.testing.assert_close(lift_sequences(network, data, flip=None, batch_size=4), expected)


def test_memory_holds_a_batch_of_windows_and_not_all_of_them():
    data, network, batches = sequences((40,)), model(architecture="pstmo"), []
    network.register_forward_hook(lambda _, args, output: batches.append((len(args[0]), len(output))))
    assert lift_sequences(network, data, flip=None, batch_size=7).shape == (40, 17, 3)
    assert batches == [(7, 7)] * 5 + [(5, 5)]


def test_a_model_left_in_training_mode_is_evaluated():
    data, network = sequences((9,)), model(drop_path=0.5)
    expected = lift_sequences(network, data, flip=None)
    assert torch.equal(lift_sequences(network.train(), data, flip=None), expected)


@pytest.mark.parametrize("output", ["sequence", "centre"])
def test_lifting_tells_how_many_windows_are_done(output):
    network, told = model(output=output), []
    lift_sequences(network, sequences((20,)), flip=None, batch_size=2, tell=lambda *state: told.append(state))
    total = 20 if output == "centre" else 3
    assert told == [(min(done, total), total) for done in range(2, total + 2, 2)]
