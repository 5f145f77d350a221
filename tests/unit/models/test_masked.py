import pytest
import torch

from mixste.models import build_masked, build_model, masked_class
from mixste.models.masked import MaskedPose
from tests.unit.factories import model_settings

ARCHITECTURES = ("mixste", "pstmo", "stcformer", "stcformer_3dhp")
NOTHING = torch.zeros((9, 17), dtype=torch.bool), torch.zeros(9, dtype=torch.bool)


def masked(architecture="mixste", **changes):
    torch.manual_seed(0)
    return build_masked(model_settings(architecture=architecture, **changes), joints=17).eval()


@pytest.fixture
def keypoints():
    return torch.randn((2, 9, 17, 3), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def hidden():
    """Joints 3 and 16 of every other frame, and frames 2 and 7."""
    joints, frames = (values.clone() for values in NOTHING)
    joints[::2, [3, 16]] = True
    frames[[2, 7]] = True
    return joints, frames


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_keys_are_the_lifters_but_for_the_heads(architecture):
    network = masked(architecture)
    lifter = build_model(network.settings, joints=17)
    own = {key: value.shape for key, value in network.state_dict().items() if not key.startswith(network.left_behind)}
    others = {key: value.shape for key, value in lifter.state_dict().items()}
    assert own == {key: shape for key, shape in others.items() if not key.startswith(lifter.head_prefixes)}
    assert all(any(key.startswith(prefix) for key in network.state_dict()) for prefix in network.left_behind)
    assert isinstance(network, masked_class(network.settings))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_its_state_comes_back_under_those_keys(architecture, keypoints, hidden):
    network, other = masked(architecture), masked(architecture)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(other.reconstruct(keypoints, *hidden), network.reconstruct(keypoints, *hidden))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_hidden_is_not_seen_and_everything_else_is(architecture, keypoints, hidden):
    network, (joints, frames) = masked(architecture), hidden
    everything = joints | frames[:, None]
    other = torch.where(everything[..., None], torch.randn_like(keypoints), keypoints)
    with torch.no_grad():
        first = network.reconstruct(keypoints, joints, frames)
        assert torch.equal(network.reconstruct(other, joints, frames), first)
        for frame, joint in ((0, 2), (3, 16)):
            moved = keypoints.clone()
            moved[:, frame, joint, 0] += 1.0
            assert not torch.allclose(network.reconstruct(moved, joints, frames), first)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("frames", [1, 9])
def test_two_numbers_a_joint_come_out_and_every_trained_parameter_has_a_gradient(architecture, frames, keypoints):
    network = masked(architecture, frames=frames).train()
    joints, hides = torch.rand(frames, 17) < 0.3, torch.arange(frames) > 4
    torch.manual_seed(3)  # a body part's vectors are dropped half of the time
    reconstructed = network.reconstruct(keypoints[:, :frames], joints, hides)
    assert reconstructed.shape == (2, frames, 17, 2)
    reconstructed.square().mean().backward()
    missing = [name for name, value in network.named_parameters() if value.requires_grad and value.grad is None]
    assert missing == []


def test_with_nothing_hidden_it_is_the_lifters_features_under_a_linear_head(keypoints):
    network = masked("stcformer")
    assert isinstance(network, MaskedPose)
    with torch.no_grad():
        expected = network.keypoint_head(network.lifter.features(keypoints))
        assert torch.equal(network.reconstruct(keypoints, *NOTHING), expected)
