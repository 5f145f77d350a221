import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from mixste.errors import MixsteError
from mixste.models import CLASSES, MixSTE, count_parameters
from mixste.models.layers import SHORT, Block, DropPath, ExactLinear, attend, paths_drawn
from mixste.recipe import ARCHITECTURES
from tests.unit.factories import model, model_settings

PUBLISHED = {  # frames: parameters, linear MACs, all MACs (MixSTE's size, 17 joints, x and y)
    1: (33_659_907, 570_468_864, 572_975_616),
    9: (33_664_003, 5_134_219_776, 5_166_807_552),
    27: (33_673_219, 15_402_659_328, 15_568_104_960),
    43: (33_681_411, 24_530_161_152, 24_889_462_272),
    81: (33_700_867, 46_207_977_984, 47_313_455_616),
    243: (33_783_811, 138_623_933_952, 147_422_633_472),
}


def full_size(frames, joints=17, channels=2):
    settings = model_settings(frames=frames, width=512, depth=8, heads=8, channels=channels)
    with torch.device("meta"):
        return MixSTE(settings, joints)


def keypoints(frames=9, joints=17, channels=3, batch=2):
    return torch.randn((batch, frames, joints, channels), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("frames", PUBLISHED)
def test_size_and_cost_are_the_published_ones_to_the_digit(frames):
    network = full_size(frames)
    assert (count_parameters(network), network.linear_macs(frames), network.all_macs(frames)) == PUBLISHED[frames]


def test_other_joints_and_channels_have_the_published_parameter_counts():
    assert count_parameters(full_size(43, joints=15)) == 33_680_387
    assert count_parameters(full_size(243, channels=3)) == 33_784_323


def test_the_state_holds_204_tensors_at_depth_8():
    assert len(full_size(27).state_dict()) == 204


@pytest.mark.parametrize("frames", [9, 4])
def test_counted_macs_are_those_that_are_executed(frames, without_kernels):
    network = model(channels=2)
    with FlopCounterMode(display=False) as counter:
        network(keypoints(frames, channels=2, batch=1))
    assert counter.get_total_flops() == 2 * network.all_macs(frames)


def test_one_norm_of_each_kind_is_shared_by_all_depths(without_kernels):
    network, calls = model(depth=3), []
    for name in ("spatial_norm", "temporal_norm"):
        getattr(network, name).register_forward_hook(lambda *_, name=name: calls.append(name))
    network(keypoints())
    assert calls == ["spatial_norm", "temporal_norm"] * 3
    assert len([norm for norm in network.modules() if isinstance(norm, nn.LayerNorm)]) == 3 * 2 * 2 + 3


def test_positions_start_at_zero():
    network = MixSTE(model_settings(), 17)
    assert not network.joint_position.any()
    assert not network.frame_position.any()
    assert network.joint_position.shape == (1, 17, 16)
    assert network.frame_position.shape == (1, 9, 16)


def test_the_heads_norm_has_epsilon_1e_5_and_all_others_1e_6():
    norms = {name: layer.eps for name, layer in model().named_modules() if isinstance(layer, nn.LayerNorm)}
    assert norms.pop("head_norm") == 1e-5
    assert set(norms.values()) == {1e-6}


@pytest.mark.parametrize(("axis", "kept"), [("space", (64, 9)), ("time", (64, 5))])
def test_drop_path_drops_whole_rows_and_scales_the_others(axis, kept):
    dropped = DropPath(0.25, axis).train()(torch.ones(64, 9, 5, 4))
    rows = dropped.mean(dim=(2, 3)) if axis == "space" else dropped.mean(dim=(1, 3))
    assert rows.shape == kept
    assert ((rows == 0) | torch.isclose(rows, torch.tensor(4 / 3))).all()
    assert 0.1 < (rows == 0).float().mean() < 0.4
    assert rows.std(dim=1).max() > 0, "rows of one sample are dropped one by one"


def test_the_two_branches_of_a_block_are_dropped_each_by_itself():
    block, x = Block(4, 2, "time", mlp_ratio=1.0, drop_path=0.5).train(), torch.ones(64, 9, 5, 4)
    with paths_drawn(block, x, torch.arange(64), 64, torch.Generator().manual_seed(0)):
        first, second = (path.share(x).flatten() == 0 for path in (block.attn_path, block.mlp_path))
    assert (first & second).float().mean() == pytest.approx(0.25, abs=0.1)
    assert (first | second).float().mean() == pytest.approx(0.75, abs=0.1)


def test_drop_path_is_the_identity_in_evaluation_and_at_rate_0():
    x = keypoints()
    assert DropPath(0.9, "space").eval()(x) is x
    assert DropPath(0.0, "time").train()(x) is x


def test_drop_path_grows_linearly_with_depth_and_is_alike_in_space_and_time():
    network = model(depth=5, drop_path=0.2)
    for blocks in (network.spatial_blocks, network.temporal_blocks):
        assert [block.attn_path.rate for block in blocks] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
        assert [block.mlp_path.rate for block in blocks] == [block.attn_path.rate for block in blocks]


@pytest.mark.parametrize("frames", range(1, 10))
def test_any_number_of_frames_up_to_the_models_is_lifted(frames):
    assert model()(keypoints(frames)).shape == (2, frames, 17, 3)


@pytest.mark.parametrize("shape", [(2, 9, 16, 3), (2, 9, 17, 2), (2, 10, 17, 3), (9, 17, 3)])
def test_other_joints_channels_lengths_and_ranks_are_refused_with_both_shapes(shape):
    with pytest.raises(MixsteError) as error:
        model()(torch.zeros(shape))
    assert str(shape) in str(error.value)
    assert "t <= 9, 17, 3" in str(error.value)


def test_the_gradient_reaches_every_parameter():
    network = model().train()
    network(keypoints()).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if not parameter.grad.any()] == []


def test_equal_seeds_give_equal_models():
    first, second = model(3).state_dict(), model(3).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("architecture", CLASSES)
def test_autocast_leaves_keypoints_and_what_a_network_gives_in_float32(architecture):
    lifter = model(architecture=architecture)
    ends = [module for module in lifter.modules() if isinstance(module, ExactLinear)]
    seen = []
    for end in ends:
        end.register_forward_hook(lambda layer, given, found: seen.append((layer, given[0], found)))
    given = keypoints() + 0.001
    with torch.autocast("cpu", torch.bfloat16):
        lifter.outputs(given)
    assert [layer for layer, _, _ in seen] == ends
    assert torch.equal(seen[0][1].flatten(), given.flatten())
    assert all(torch.equal(found, functional.linear(inputs, layer.weight, layer.bias)) for layer, inputs, found in seen)


@pytest.mark.parametrize("tokens", [3, SHORT, SHORT + 1])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_attention_is_softmax_attention_at_every_length_and_precision(tokens, precision):
    query, key, value = torch.randn(3, 2, 2, tokens, 8, generator=torch.Generator().manual_seed(0)).to(precision)
    expected = torch.softmax(query.double() @ key.double().mT * 0.3, dim=-1) @ value.double()
    near = 1e-5 if precision == torch.float32 else 3e-2
    torch.testing.assert_close(attend(query, key, value, 0.3).double(), expected, rtol=near, atol=near)


def plain_attention(x, state, heads):
    """Rows of tokens (rows n c), one head after the other."""
    size = x.shape[-1] // heads
    query, key, value = functional.linear(x, state["attn.qkv.weight"], state["attn.qkv.bias"]).chunk(3, dim=-1)
    mixed = []
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        weights = torch.softmax(query[..., own] @ key[..., own].transpose(1, 2) / size**0.5, dim=-1)
        mixed.append(weights @ value[..., own])
    return functional.linear(torch.cat(mixed, dim=-1), state["attn.proj.weight"], state["attn.proj.bias"])


def plain_norm(x, state, name, eps=1e-6):
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def plain_block(x, state, prefix, heads):
    state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    x = x + plain_attention(plain_norm(x, state, "norm1"), state, heads)
    hidden = functional.linear(plain_norm(x, state, "norm2"), state["mlp.fc1.weight"], state["mlp.fc1.bias"])
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    return x + functional.linear(hidden, state["mlp.fc2.weight"], state["mlp.fc2.bias"])


def plain_mixste(x, state, depth, heads):
    """The paper's network as the paper lays it out: (b t) rows of joints, then (b j) rows of frames."""
    b, t, j, _ = x.shape
    x = functional.linear(x, state["embed.weight"], state["embed.bias"]).reshape(b * t, j, -1) + state["joint_position"]
    for i in range(depth):
        x = plain_norm(plain_block(x, state, f"spatial_blocks.{i}.", heads), state, "spatial_norm")
        x = x.reshape(b, t, j, -1).transpose(1, 2).reshape(b * j, t, -1)
        if i == 0:
            x = x + state["frame_position"][:, :t]
        x = plain_norm(plain_block(x, state, f"temporal_blocks.{i}.", heads), state, "temporal_norm")
        x = x.reshape(b, j, t, -1).transpose(1, 2).reshape(b * t, j, -1)
    x = plain_norm(x, state, "head_norm", eps=1e-5)
    return functional.linear(x, state["head.weight"], state["head.bias"]).reshape(b, t, j, 3)


@pytest.mark.parametrize(("frames", "given", "channels"), [(9, 9, 3), (9, 4, 2), (67, 67, 3)])
def test_the_network_is_the_papers_written_out_plainly(frames, given, channels):
    network = model(frames=frames, depth=3, heads=4, channels=channels)
    x = keypoints(given, channels=channels)
    with torch.no_grad():
        expected = plain_mixste(x, network.state_dict(), depth=3, heads=4)
        torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5)


def test_every_architecture_that_settings_allow_has_a_class_and_no_other():
    assert set(CLASSES) == set(ARCHITECTURES)
