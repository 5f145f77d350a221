import pytest
import torch

from mixste import losses
from mixste.corruption import corrupt
from mixste.objectives import Lift, Supervised
from mixste.recipe import CorruptionSettings, LiftLoss, SupervisedLoss

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
    seen = Lift(CORRUPTION, LiftLoss(n_mpjpe=0.5, velocity=20.0)).inputs(pair[0], generator(4))
    assert torch.equal(seen, corrupt(pair[0], CORRUPTION, generator(4)))
    assert not torch.equal(seen, pair[0])


def test_pre_training_pays_for_mpjpe_half_of_n_mpjpe_and_twenty_velocities(pair):
    parts = Lift(CORRUPTION, LiftLoss(n_mpjpe=0.5, velocity=20.0)).parts(*pair)
    expected = losses.mpjpe(*pair) + 0.5 * losses.n_mpjpe(*pair) + 20 * losses.velocity_error(*pair)
    assert set(parts) == {"mpjpe", "n_mpjpe", "velocity"}
    torch.testing.assert_close(sum(parts.values()), expected)


def test_fine_tuning_sees_detections_as_they_are(pair):
    assert supervised(weighted=True).inputs(pair[0], generator()) is pair[0]


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
