import pytest
import torch
from scipy import stats

from mixste import corruption
from mixste.corruption import mask
from mixste.recipe import CorruptionSettings
from mixste.skeleton import load_skeleton

# The published detector: joint, mean x, mean y, std x, std y (screen units), share of Gaussian key frames.
PUBLISHED = [
    (0, 0.813e-3, 0.212e-3, 3.663e-3, 3.573e-3, 0.998745),
    (1, -0.148e-3, 1.998e-3, 7.135e-3, 5.109e-3, 0.966954),
    (2, 2.039e-3, -1.51e-3, 6.084e-3, 5.003e-3, 0.889607),
    (3, 0.944e-3, 0.908e-3, 8.953e-3, 5.293e-3, 0.893835),
    (4, 1.867e-3, -0.704e-3, 6.717e-3, 5.328e-3, 0.97462),
    (5, 1.933e-3, -5.204e-3, 7.013e-3, 4.921e-3, 0.876673),
    (6, 0.894e-3, -1.872e-3, 9.506e-3, 5.625e-3, 0.821006),
    (7, 2.468e-3, 2.334e-3, 6.588e-3, 4.968e-3, 0.957807),
    (8, 2.141e-3, -6.508e-3, 5.491e-3, 5.305e-3, 0.918315),
    (9, 1.656e-3, 1.655e-3, 5.339e-3, 4.877e-3, 0.96794),
    (10, 0.837e-3, 1.593e-3, 3.416e-3, 3.492e-3, 0.98412),
    (11, 0.794e-3, -4.622e-3, 8.007e-3, 6.087e-3, 0.890993),
    (12, 1.499e-3, 0.296e-3, 5.168e-3, 4.754e-3, 0.801556),
    (13, 1.159e-3, 1.63e-3, 4.99e-3, 5.089e-3, 0.70277),
    (14, 2.104e-3, -3.166e-3, 7.823e-3, 7.934e-3, 0.880896),
    (15, 1.682e-3, -0.33e-3, 6.009e-3, 5.721e-3, 0.824629),
    (16, 1.664e-3, 1.318e-3, 5.37e-3, 5.684e-3, 0.728748),
]
JOINTS = load_skeleton("h36m17").joints
UNIFORM_VARIANCE, WHITE_VARIANCE = 0.06**2 / 12, 0.002**2


def settings(**changes):
    return CorruptionSettings(**{"noise": 1.0, "joint_mask": 0.05, "frame_mask": 0.1, **changes})


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def corrupt(x, *arguments, joints=JOINTS, **options):
    return corruption.corrupt(x, *arguments, joints=joints, **options)


def add_noise(x, *arguments, joints=JOINTS, **options):
    return corruption.add_noise(x, *arguments, joints=joints, **options)


def exact(b=2, t=27, j=17):
    """Keypoints far from zero, confidence 1."""
    return torch.cat([0.5 + 0.1 * torch.rand((b, t, j, 2), generator=generator(9)), torch.ones(b, t, j, 1)], dim=-1)


@pytest.fixture(scope="module")
def noisy():
    x = exact(b=10000, t=3)
    moved = add_noise(x, 1.0, generator())
    return (moved - x)[..., :2], moved[..., 2]


@pytest.mark.parametrize(("joint", "mean_x", "mean_y", "std_x", "std_y", "share"), PUBLISHED)
def test_noise_at_key_frames_has_the_published_detectors_mean_and_spread(
    noisy, joint, mean_x, mean_y, std_x, std_y, share
):
    displacement = noisy[0][:, 0, joint].double()
    for axis, mean, std in ((0, mean_x, std_x), (1, mean_y, std_y)):
        second_moment = share * (std**2 + mean**2) + (1 - share) * UNIFORM_VARIANCE
        expected = (second_moment - (share * mean) ** 2 + WHITE_VARIANCE) ** 0.5
        assert displacement[:, axis].mean() == pytest.approx(share * mean, abs=5 * expected / 10000**0.5)
        assert displacement[:, axis].std() == pytest.approx(expected, rel=0.05)


def test_key_frames_are_gaussian_or_uniform_each_by_itself_and_noise_drifts_between_them(noisy):
    first, middle, last = noisy[0][:, :, 0].double().unbind(1)
    assert (middle - (first + last) / 2).std() == pytest.approx((1.5 * WHITE_VARIANCE) ** 0.5, rel=0.05)
    wrist = JOINTS.index("l_wrist")  # its share of uniform key frames is 0.3, and a quarter of these are far off
    first, last = (noisy[0][:, frame, wrist].abs().amax(-1) > 0.02 for frame in (0, 2))
    assert (first & last).float().mean() == pytest.approx(float(first.float().mean() * last.float().mean()), abs=0.008)


def test_confidence_falls_with_the_displacement_as_published(noisy):
    displacement, confidence = noisy
    distance, confidence = displacement.norm(dim=-1).flatten().double().numpy(), confidence.flatten().double().numpy()
    centre, spread = 0.028 / (distance + 0.028) + 1.1 * distance - 0.0045856964, 0.14310569
    low, high = stats.norm.cdf(-centre / spread), stats.norm.sf((1 - centre) / spread)
    inside = centre * (1 - low - high) + spread * (
        stats.norm.pdf(centre / spread) - stats.norm.pdf((1 - centre) / spread)
    )
    assert confidence.mean() == pytest.approx((inside + high).mean(), abs=5e-4)
    assert 0 <= confidence.min() < confidence.max() == 1
    near, far = confidence[distance < 0.003], confidence[(distance > 0.02) & (distance < 0.03)]
    assert near.mean() > far.mean() + 0.2


def test_noise_grows_with_its_strength():
    x = exact()
    weak, strong = (add_noise(x, strength, generator())[..., :2] - x[..., :2] for strength in (0.5, 2.0))
    torch.testing.assert_close(4 * weak, strong, rtol=1e-3, atol=1e-5)


def test_without_strength_and_masks_nothing_changes():
    x = exact()
    assert torch.equal(corrupt(x, settings(noise=0.0, joint_mask=0.0, frame_mask=0.0), generator()), x)


def test_every_sample_is_corrupted_by_its_own_draws():
    noisy = add_noise(exact(b=1).expand(3, -1, -1, -1), 1.0, generator())[..., :2]
    assert len(noisy[:, 0].flatten(1).unique(dim=0)) == 3, "drift"
    white = noisy.diff(n=2, dim=1)
    assert (white[0] != white[1]).float().mean() > 0.99, "white noise"
    seen = mask(torch.ones(8, 50, 17, 3), settings(joint_mask=0.0, frame_mask=0.3), generator())[:, :, 0, 0]
    assert len({tuple(row) for row in seen.tolist()}) == 8, "frame masks differ from sample to sample"


def test_white_noise_and_hidden_frames_can_be_one_draw_for_the_batch_and_nothing_else_is():
    noisy = add_noise(exact(b=1).expand(3, -1, -1, -1), 1.0, generator(), sharing=3)[..., :2].double()
    drift = (noisy - noisy[:1])[1:]
    assert drift.abs().amax(dim=(1, 2, 3)).min() > 1e-3, "each has its own drift"
    straight = drift[:, 4:8].diff(n=2, dim=1)  # between two key frames, which are 13 frames apart
    assert straight.abs().max() < 1e-6, "the white noise between them is the same"
    assert drift[:, 12:15].diff(n=2, dim=1).abs().amax(dim=-1).min() > 1e-6, "and there is one in the middle"
    hidden = settings(noise=0.0, joint_mask=0.2, frame_mask=0.3, shared=True)
    seen = corrupt(torch.ones(8, 50, 17, 3), hidden, generator(), batch=4)[..., 0]
    whole = (seen == 0).all(dim=-1)
    assert len(whole[:4].unique(dim=0)) == len(whole[4:].unique(dim=0)) == 1
    assert len(whole.unique(dim=0)) == 2, "the next batch has its own"
    assert 5 < whole[0].sum() < 25
    assert len(seen.flatten(1).unique(dim=0)) == 8, "each has its own hidden joints"


def test_joints_are_masked_one_by_one_and_wholly():
    seen = mask(torch.ones(20, 50, 17, 3), settings(joint_mask=0.05, frame_mask=0.0), generator())
    assert torch.isin(seen, torch.tensor([0.0, 1.0])).all()
    assert torch.equal(seen.amin(-1), seen.amax(-1)), "x, y and confidence go together"
    assert float((seen[..., 0] == 0).float().mean()) == pytest.approx(0.05, abs=0.008)
    assert (seen[..., 0].sum(-1) > 0).all(), "no frame loses every joint"


def test_frames_are_masked_with_all_their_joints():
    seen = mask(torch.ones(60, 50, 17, 3), settings(joint_mask=0.0, frame_mask=0.1), generator())[..., 0]
    assert torch.equal(seen.amin(-1), seen.amax(-1))
    assert float((seen[..., 0] == 0).float().mean()) == pytest.approx(0.1, abs=0.025)


def test_everything_can_be_masked():
    assert not corrupt(exact(), settings(frame_mask=1.0), generator()).any()


def test_equal_generators_corrupt_alike_and_the_global_one_is_not_touched():
    x, before = exact(), torch.random.get_rng_state()
    assert torch.equal(corrupt(x, settings(), generator(1)), corrupt(x, settings(), generator(1)))
    assert not torch.equal(corrupt(x, settings(), generator(1)), corrupt(x, settings(), generator(2)))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(x, exact()), "the input is left as it was"


@pytest.mark.parametrize(("t", "skeleton"), [(1, "h36m17"), (243, "h36m17"), (27, "humaneva15")])
def test_any_length_and_other_skeletons_are_corrupted(t, skeleton):
    joints = load_skeleton(skeleton).joints
    corrupted = corrupt(exact(t=t, j=len(joints)), settings(), generator(), joints=joints)
    assert corrupted.shape == (2, t, len(joints), 3)
    assert corrupted.isfinite().all()


def test_a_joint_has_the_noise_of_its_name_in_whatever_order():
    names = load_skeleton("mpi17").joints
    x = exact(b=10000, t=1)
    displacement = (add_noise(x, 1.0, generator(), joints=names) - x)[:, 0, names.index("hip"), 0].double()
    share, mean, std = 0.998745, 0.813e-3, 3.663e-3
    expected = share * (std**2 + mean**2) + (1 - share) * UNIFORM_VARIANCE - (share * mean) ** 2 + WHITE_VARIANCE
    assert displacement.std() == pytest.approx(expected**0.5, rel=0.05)


def test_joints_of_other_names_get_the_average_joints_noise():
    x = exact(b=10000, t=1, j=15)
    displacement = (add_noise(x, 1.0, generator(), joints=[f"marker{n}" for n in range(15)]) - x)[..., 1].double()
    expected = -0.704235e-3 * 0.887013  # mean y over the 17 joints, times the mean share of Gaussian key frames
    assert float(displacement.mean()) == pytest.approx(expected, abs=1e-4)
