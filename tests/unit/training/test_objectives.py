import pytest
import torch

from mixste import losses
from mixste.corruption import corrupt
from mixste.errors import MixsteError
from mixste.models import build_masked
from mixste.recipe import CorruptionSettings, LiftLoss, MaskSettings, SupervisedLoss
from mixste.skeleton import load_skeleton
from mixste.training.objectives import Lift, Masked, Supervised
from tests.unit.factories import model, model_settings

JOINTS = load_skeleton("h36m17").joints
CORRUPTION = CorruptionSettings(noise=1.0, joint_mask=0.2, frame_mask=0.1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pair():
    return torch.randn((2, 2, 9, 17, 3), generator=generator()).unbind(0)


def supervised(*, weighted):
    settings = SupervisedLoss(weighted=weighted, temporal=0.5, velocity=2.0, squared=False)
    return Supervised(settings, skeleton="h36m17", joints=17)


def test_pre_training_sees_corrupted_keypoints(pair):
    objective = Lift(CORRUPTION, LiftLoss(n_mpjpe=0.5, velocity=20.0), joints=JOINTS)
    seen = objective.inputs(pair[0], generator(4), len(pair[0]))
    assert torch.equal(seen, corrupt(pair[0], CORRUPTION, generator(4), joints=JOINTS))
    assert not torch.equal(seen, pair[0])


def test_pre_training_pays_for_mpjpe_half_of_n_mpjpe_and_twenty_velocities(pair):
    parts = Lift(CORRUPTION, LiftLoss(n_mpjpe=0.5, velocity=20.0), joints=JOINTS).parts(*pair)
    expected = losses.mpjpe(*pair) + 0.5 * losses.n_mpjpe(*pair) + 20 * losses.velocity_error(*pair)
    assert set(parts) == {"mpjpe", "n_mpjpe", "velocity"}
    torch.testing.assert_close(sum(parts.values()), expected)


def test_fine_tuning_sees_detections_as_they_are(pair):
    assert supervised(weighted=True).inputs(pair[0], generator(), len(pair[0])) is pair[0]


def test_fine_tuning_pays_mixstes_three_parts_with_its_joint_weights(pair):
    weights = torch.tensor([1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4])
    parts = supervised(weighted=True).parts(*pair)
    assert parts["w_mpjpe"].item() == pytest.approx(losses.mpjpe(*pair, weights).item())
    assert parts["temporal"].item() == pytest.approx(0.5 * losses.temporal_consistency(pair[0], weights).item())
    assert parts["velocity"].item() == pytest.approx(2 * losses.velocity_error(*pair).item())


def test_without_weights_every_joint_counts_alike(pair):
    parts = supervised(weighted=False).parts(*pair)
    assert parts["w_mpjpe"].item() == pytest.approx(losses.mpjpe(*pair).item())
    assert parts["temporal"].item() == pytest.approx(0.5 * pair[0].diff(dim=1).square().mean().item())


def plain():
    """MPJPE alone."""
    settings = SupervisedLoss(weighted=False, temporal=0.0, velocity=0.0, squared=False)
    return Supervised(settings, skeleton="h36m17", joints=17)


def test_p_stmo_pays_for_the_sequence_and_for_the_centre_frame(pair):
    """Its published loss: MPJPE of all frames plus MPJPE of the centre."""
    network = model(architecture="pstmo")
    parts = plain().loss(network, *pair, generator())
    sequence, middle = network.outputs(pair[0])
    expected = (sequence - pair[1]).norm(dim=-1).mean() + (middle[:, 0] - pair[1][:, 4]).norm(dim=-1).mean()
    assert sum(parts.values()).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("output", ["sequence", "centre"])
@pytest.mark.parametrize("architecture", ["mixste", "stcformer"])
def test_a_network_of_sequences_pays_for_all_frames_and_is_judged_by_what_is_kept(pair, architecture, output):
    network = model(architecture=architecture, output=output)
    with torch.no_grad():
        distances = (network(pair[0]) - pair[1]).norm(dim=-1)
        parts, errors = plain().loss(network, *pair, generator()), plain().errors(network, *pair, generator())
    assert sum(parts.values()).item() == pytest.approx(distances.mean().item(), rel=1e-5)
    torch.testing.assert_close(errors, distances[:, 4:5] if output == "centre" else distances)


def test_p_stmo_is_judged_by_the_centre_frame(pair):
    network = model(architecture="pstmo")
    with torch.no_grad():
        expected = (network(pair[0])[:, 0] - pair[1][:, 4]).norm(dim=-1)
        found = plain().errors(network, *pair, generator())
    torch.testing.assert_close(found[:, 0], expected)


def test_a_window_of_one_frame_is_its_own_centre(pair):
    inputs, target = (values[:, :1] for values in pair)
    network = model(architecture="pstmo", frames=1)
    sequence, middle = network.outputs(inputs)
    expected = sum((predicted - target).norm(dim=-1).mean() for predicted in (sequence, middle))
    assert sum(plain().loss(network, inputs, target, generator()).values()).item() == pytest.approx(expected.item())


def mask_settings(**changes):
    return MaskSettings(**{"joints": 2, "last_joint": True, "frames": 0.8, **changes})


class Recalled:
    """A masked network that gives back what it was shown, 3 and 4 hundredths beside it."""

    settings = model_settings(channels=2)

    def reconstruct(self, keypoints, joints, frames):
        self.shown, self.joints, self.frames = keypoints, joints, frames
        moved = torch.tensor([0.03, 0.04]) * joints[..., None]
        return keypoints[..., :2] + moved


def test_masked_modelling_pays_the_mean_distance_on_the_screen_over_all_joints_and_frames(pair):
    network = Recalled()
    parts = Masked(mask_settings(), joints=17).loss(network, *pair, generator())
    assert parts["reconstruction"].item() == pytest.approx(0.05 * 2 / 17)  # 2 of 17 joints of every frame are off
    assert torch.equal(network.shown, pair[0][..., :2])


def test_masked_modelling_pays_exactly_the_network_s_error(pair):
    network = build_masked(model_settings(architecture="pstmo", frames=9), joints=17).eval()
    objective = Masked(mask_settings(), joints=17)
    joints, frames = objective.masks(9, 17, generator(3))
    with torch.no_grad():
        off = network.reconstruct(pair[0], joints, frames) - pair[0][..., :2]
        found = objective.loss(network, *pair, generator(3))
    assert found["reconstruction"].item() == pytest.approx(off.square().sum(-1).sqrt().mean().item(), rel=1e-6)


@pytest.mark.parametrize(
    ("t", "share", "hidden"), [(9, 0.8, 7), (243, 0.8, 194), (27, 0.6, 16), (9, 0.0, 0), (1, 0.9, 0)]
)
def test_so_many_joints_of_every_frame_and_so_many_frames_are_hidden(t, share, hidden):
    joints, frames = Masked(mask_settings(frames=share, joints=3), joints=17).masks(t, 17, generator())
    assert (joints.shape, frames.shape) == ((t, 17), (t,))
    assert joints.sum(dim=1).tolist() == [3] * t
    assert frames.sum() == hidden == int(t * share)


def test_masks_differ_between_frames_and_draws_and_are_the_draws_alone():
    objective = Masked(mask_settings(), joints=17)
    (first, frames), (again, same), (other, _) = (objective.masks(27, 17, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert torch.equal(frames, same)
    assert not torch.equal(first, other)
    assert len({tuple(row) for row in first.tolist()}) > 10


@pytest.mark.parametrize("last", [True, False])
def test_the_last_joint_is_hidden_only_where_that_is_chosen(last):
    joints, _ = Masked(mask_settings(last_joint=last), joints=17).masks(2000, 17, generator())
    share = joints.float().mean(dim=0)
    candidates = 17 if last else 16
    assert bool(share[-1] > 0) == last
    torch.testing.assert_close(share[:candidates], torch.full((candidates,), 2 / candidates), atol=0.03, rtol=0)


@pytest.mark.parametrize(("joints", "last"), [(18, True), (17, False)])
def test_more_joints_than_there_are_cannot_be_hidden(joints, last):
    with pytest.raises(MixsteError, match=f"masks.joints {joints}; expected: {joints - 1} or fewer"):
        Masked(mask_settings(joints=joints, last_joint=last), joints=17)
