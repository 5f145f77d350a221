import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mixste.errors import MixsteError
from mixste.models import stcformer
from tests.unit.factories import model

BOTH = ("stcformer", "stcformer_3dhp")


def keypoints(frames=9, joints=17, channels=3, batch=2):
    return torch.randn((batch, frames, joints, channels), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("frames", [1, 9, 27, 43, 81, 243])
@pytest.mark.parametrize("architecture", BOTH)
def test_every_published_length_is_lifted(architecture, frames):
    network = model(architecture=architecture, frames=frames, width=8, depth=1)
    assert network(keypoints(frames)).shape == (2, frames, 17, 3)


@pytest.mark.parametrize("joints", [1, 3, 15, 16, 17, 28, 33, 52])
def test_any_number_of_joints_is_lifted_and_has_its_parts(joints):
    for architecture in BOTH:
        assert model(architecture=architecture, joints=joints)(keypoints(joints=joints)).shape == (2, 9, joints, 3)
    table = stcformer.H36M.table(joints)
    assert table.shape == (joints,)
    assert set(table.tolist()) == (set(range(5)) if joints >= 5 else {5 * j // joints for j in range(joints)})


def test_joints_of_one_part_are_neighbours_where_nothing_was_published():
    assert stcformer.H36M.table(15).tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3


@pytest.mark.parametrize("shape", [(2, 9, 16, 3), (2, 9, 17, 2), (2, 10, 17, 3), (9, 17, 3)])
def test_other_joints_channels_lengths_and_ranks_are_refused(shape):
    with pytest.raises(MixsteError, match="cannot lift these keypoints"):
        model(architecture="stcformer")(torch.zeros(shape))


@pytest.mark.parametrize("architecture", BOTH)
@pytest.mark.parametrize("frames", [9, 4])
def test_counted_macs_are_those_that_are_executed(architecture, frames, without_kernels):
    network = model(architecture=architecture, channels=2)
    with FlopCounterMode(display=False) as counter:
        network(keypoints(frames, channels=2, batch=1))
    assert counter.get_total_flops() == 2 * network.all_macs(frames)


@pytest.mark.parametrize("architecture", BOTH)
def test_the_gradient_reaches_every_parameter_that_is_trained(architecture, monkeypatch):
    monkeypatch.setattr(stcformer, "PART_DROP", 0.0)
    network = model(architecture=architecture).train()
    network(keypoints()).square().sum().backward()
    trained = {name: value for name, value in network.named_parameters() if value.requires_grad}
    assert [name for name, value in trained.items() if not value.grad.any()] == []
    fixed = {name for name, value in network.named_parameters() if not value.requires_grad}
    assert len(fixed) == (0 if architecture == "stcformer" else 2 * 2)
    assert all(".unused_norm." in name for name in fixed)


def test_the_part_term_is_dropped_for_the_whole_batch_at_once_in_training_only(monkeypatch):
    monkeypatch.setattr(stcformer, "PART_WEIGHTS", {"space": 1.0, "time": 1.0})
    attention = model(architecture="stcformer", depth=1, dropout=0.0).blocks[0].attn
    attention.space.grid.requires_grad_(False)
    full = attention._parts()
    drawn = [attention.train()._parts() for _ in range(40)]
    kinds = {"dropped" if not vectors.any() else "doubled" for vectors in drawn}
    assert kinds == {"dropped", "doubled"}
    assert all(torch.equal(vectors, 2 * full) for vectors in drawn if vectors.any())
    assert torch.equal(attention.eval()._parts(), full)


def test_training_repeats_from_torchs_random_state_and_evaluation_draws_nothing(monkeypatch):
    monkeypatch.setattr(stcformer, "PART_WEIGHTS", {"space": 1.0, "time": 1.0})
    network, x = model(architecture="stcformer", dropout=0.1).train(), keypoints()
    runs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        runs.append(network(x))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    state = torch.get_rng_state()
    assert torch.equal(network.eval()(x), network(x))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("architecture", BOTH)
def test_mlps_drop_hidden_numbers_and_then_what_they_give(architecture):
    """At a rate of a half every number is dropped or doubled, in both places."""
    for block in model(architecture=architecture, dropout=0.5).requires_grad_(False).blocks:
        x, hidden, given = torch.randn(4, 9, 17, 16), [], []
        block.attn.register_forward_hook(lambda _, args, out: torch.zeros_like(out))
        block.fc2.register_forward_pre_hook(lambda _, args, hidden=hidden: hidden.append(args[0]))
        block.fc2.register_forward_hook(lambda _, args, out, given=given: given.append(out))
        for mode in (False, True):
            left = block.train(mode)(x) - x
        for multiplied, whole in ((hidden[1], hidden[0]), (left, given[1])):
            seen = whole.abs() > 1e-3
            factor = (multiplied / whole)[seen]
            torch.testing.assert_close(factor, factor.round(), rtol=0, atol=1e-2)
            assert set(factor.round().tolist()) == {0.0, 2.0}
            assert factor.mean() == pytest.approx(1, abs=0.1)


def test_each_half_mixes_along_its_own_axis_only_but_for_the_neighbours_of_its_convolution():
    half = stcformer.Half(8, 2, "time", 0.5).eval()
    x = keypoints(9, 17, 24, batch=1)
    moved = x.clone()
    moved[:, 8, 9] += 1
    changed = (half(x) - half(moved)).abs().amax(dim=(0, 3, 4)) > 0
    assert changed[:, 9].all(), "a joint's whole track sees its last frame"
    assert changed[7:, 8:11].all(), "the convolution reaches one frame and one joint"
    changed[:, 9] = changed[7:, 8:11] = False
    assert not changed.any()


def test_body_parts_weigh_what_settings_say_in_released_weights(monkeypatch):
    x = keypoints()
    heavier = model(architecture="stcformer", part_weight=1000.0)(x)
    assert not torch.equal(heavier, model(architecture="stcformer")(x))
    monkeypatch.setattr(stcformer, "PART_WEIGHTS", {axis: 1000 * own for axis, own in stcformer.PART_WEIGHTS.items()})
    assert torch.equal(heavier, model(architecture="stcformer")(x))


def test_an_architecture_without_body_parts_refuses_a_weight_for_them():
    with pytest.raises(MixsteError, match="part_weight"):
        model(part_weight=10.0)


def test_part_embeddings_weigh_what_the_authors_code_gives_them():
    assert stcformer.PART_WEIGHTS == {"space": 1e-4, "time": 1e-9}
