import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mixste.errors import MixsteError
from mixste.models import build_masked, build_model, count_parameters
from mixste.models.pstmo import Norm, strides
from tests.unit.factories import model, model_settings

LENGTHS = [1, 9, 27, 43, 81, 243]


def keypoints(frames=9, joints=17, channels=3, batch=2):
    return torch.randn((batch, frames, joints, channels), generator=torch.Generator().manual_seed(5))


def masked(**changes):
    torch.manual_seed(0)
    return build_masked(model_settings(architecture="pstmo", **changes), joints=17).eval()


def none_hidden(frames=9, joints=17):
    return torch.zeros(frames, joints, dtype=torch.bool), torch.zeros(frames, dtype=torch.bool)


@pytest.mark.parametrize("frames", LENGTHS)
def test_every_published_length_gives_the_centre_and_the_sequence(frames):
    network = model(architecture="pstmo", frames=frames, width=8, depth=1)
    x = keypoints(frames)
    assert network(x).shape == (2, 1, 17, 3)
    assert [tuple(y.shape) for y in network.outputs(x)] == [(2, frames, 17, 3), (2, 1, 17, 3)]
    assert torch.equal(network.outputs(x)[1], network(x))


def test_strides_leave_one_frame_of_any_length():
    for frames in range(1, 400, 2):
        left = frames
        for stride in strides(frames):
            left = -(-left // stride)
        assert left == 1
        assert len(strides(frames)) >= 3


@pytest.mark.parametrize("shape", [(2, 9, 16, 3), (2, 9, 17, 2), (2, 8, 17, 3), (2, 10, 17, 3), (9, 17, 3)])
def test_a_window_of_any_other_shape_is_refused(shape):
    for call in (model(architecture="pstmo"), model(architecture="pstmo").outputs):
        with pytest.raises(MixsteError, match="t = 9, 17, 3"):
            call(torch.zeros(shape))


@pytest.mark.parametrize("frames", [1, 9, 43])
def test_counted_macs_are_those_that_are_executed(frames, without_kernels):
    network = model(architecture="pstmo", frames=frames, channels=2)
    with FlopCounterMode(display=False) as counter:
        network.outputs(keypoints(frames, channels=2, batch=1))
    assert counter.get_total_flops() == 2 * network.all_macs(frames)


@pytest.mark.parametrize("frames", [1, 9, 43])
def test_counted_linear_macs_are_those_of_the_linear_layers_and_convolutions(frames):
    network, counted = model(architecture="pstmo", frames=frames, channels=2), []
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda layer, _, out: counted.append(layer.in_features * out.numel()))
        elif isinstance(layer, nn.Conv1d):
            layer.register_forward_hook(
                lambda layer, _, out: counted.append(layer.in_channels * layer.kernel_size[0] * out.numel())
            )
    network.outputs(keypoints(frames, channels=2, batch=1))
    assert sum(counted) == network.linear_macs(frames)


def test_the_norm_divides_by_the_unbiased_deviation_plus_epsilon():
    x = torch.tensor([[1.0, 2.0, 3.0, 6.0]])
    deviation = (((-2) ** 2 + 1 + 0 + 9) / 3) ** 0.5
    expected = torch.tensor([[-2.0, -1.0, 0.0, 3.0]]) / (deviation + 1e-6)
    torch.testing.assert_close(Norm(4)(x), expected)
    torch.testing.assert_close(Norm(4)(torch.ones(1, 4)), torch.zeros(1, 4))


@pytest.mark.parametrize("kind", ["lifter", "masked"])
def test_the_gradient_reaches_every_parameter_but_the_norms_that_are_never_applied(kind):
    x = keypoints(batch=4)
    if kind == "lifter":
        network = model(architecture="pstmo")
        charged = network.outputs(x)
    else:
        network = masked()
        joints, frames = none_hidden()
        joints[:, 3] = frames[:4] = True
        charged = (network.reconstruct(x, joints, frames),)
    sum(y.square().sum() for y in charged).backward()
    fixed = [name for name, value in network.named_parameters() if not value.requires_grad]
    assert len(fixed) == 4
    assert all(".unused_norm." in name for name in fixed)
    unreached = [n for n, value in network.named_parameters() if value.requires_grad and not value.grad.any()]
    assert unreached == []


def test_norms_that_are_never_applied_count_as_published():
    network = build_model(model_settings(architecture="pstmo"), joints=17)
    assert count_parameters(network) - sum(p.numel() for p in network.parameters() if p.requires_grad) == 2 * 2 * 16


def test_dropout_acts_in_training_only_and_repeats_from_torchs_random_state():
    network, x = model(architecture="pstmo", dropout=0.3), keypoints()
    assert torch.equal(network(x), network(x))
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.eval()
    torch.manual_seed(1)
    first = network(x)
    torch.manual_seed(1)
    assert torch.equal(network(x), first)
    assert not torch.equal(network(x), first)


def test_stage_1_has_the_lifters_parameters_but_for_what_each_has_for_itself():
    lifter, other = model(architecture="pstmo"), masked()
    shared = {name: v.shape for name, v in lifter.state_dict().items() if not name.startswith(lifter.head_prefixes)}
    assert shared == {n: v.shape for n, v in other.state_dict().items() if not n.startswith(other.left_behind)}
    assert all(any(n.startswith(prefix) for n in other.state_dict()) for prefix in other.left_behind)


def test_a_hidden_joint_is_not_seen():
    network, x = masked(), keypoints()
    joints, frames = none_hidden()
    joints[2, 5] = True
    moved = x.clone()
    moved[:, 2, 5] += 1
    assert torch.equal(network.reconstruct(x, joints, frames), network.reconstruct(moved, joints, frames))
    assert not torch.equal(network.reconstruct(x, *none_hidden()), network.reconstruct(moved, *none_hidden()))


def test_a_hidden_frame_is_not_seen_and_reconstructed_in_its_place():
    network, x = masked(), keypoints()
    joints, frames = none_hidden()
    frames[[1, 4, 5]] = True
    moved = x.clone()
    moved[:, [1, 4, 5]] += 1
    made = network.reconstruct(x, joints, frames)
    assert made.shape == (2, 9, 17, 2)
    assert torch.equal(made, network.reconstruct(moved, joints, frames))
    assert (made[:, 1] - made[:, 4]).abs().max() > 1e-3, "hidden frames are told apart by their positions"
