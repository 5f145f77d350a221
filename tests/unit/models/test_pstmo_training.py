"""What P-STMO has in training and at its start: dropout in four places, positions and tokens, running statistics."""

import pytest
import torch
from torch import nn

from mixste.models import build_masked, build_model
from mixste.models.layers import Attention
from mixste.models.pstmo import Dense, FeedForward, PoseBlock
from tests.unit.factories import model_settings

BUILD = {"lifter": build_model, "masked": build_masked}
KINDS = pytest.mark.parametrize("kind", BUILD)
HALF = 0.5  # every number is dropped or doubled


def network(kind, seed=0, **changes):
    torch.manual_seed(seed)
    return BUILD[kind](model_settings(architecture="pstmo", **changes), joints=17)


def all_of(kind, module):
    found = [own for own in network(kind, dropout=HALF).modules() if isinstance(own, module)]
    assert found
    return found


def factors(part, x):
    """By what training multiplies what evaluation gives; batch norm as in evaluation."""
    expected = part.requires_grad_(False).eval()(x)
    part.train()
    for own in part.modules():
        own.train(not isinstance(own, nn.BatchNorm1d))
    return (part(x) / expected)[expected.abs() > 1e-4]


def tokens(width, frames=1):
    return torch.randn((64, frames, width), generator=torch.Generator().manual_seed(1))


def assert_half_dropped(multiplied):
    torch.testing.assert_close(multiplied, multiplied.round().clamp(0, 2), rtol=0, atol=1e-3)
    assert set(multiplied.round().tolist()) == {0.0, 2.0}
    assert multiplied.mean() == pytest.approx(1, abs=0.25)


@KINDS
def test_attention_weights_are_dropped(kind):
    """Of one frame the softmax is 1: where it is dropped, a head gives nothing, and else twice its value."""
    for attention in all_of(kind, Attention):
        width, attention.proj = attention.proj.in_features, nn.Identity()
        nn.init.zeros_(attention.qkv.weight)
        nn.init.ones_(attention.qkv.bias)
        multiplied = factors(attention, tokens(width)[:, :, None])
        assert_half_dropped(multiplied)
        by_head = multiplied.view(64, attention.heads, -1)
        assert torch.equal(by_head, by_head[..., :1].expand_as(by_head))


@KINDS
def test_the_hidden_numbers_of_feed_forwards_are_dropped(kind):
    for feed in all_of(kind, FeedForward):
        width, feed.last = feed.first.in_features, nn.Identity()
        assert_half_dropped(factors(feed, tokens(width)))


@KINDS
def test_all_three_layers_of_the_embedding_that_have_a_norm_are_dropped(kind):
    layers = all_of(kind, Dense)
    assert len(layers) == 3
    for dense in layers:
        assert_half_dropped(factors(dense, tokens(dense.linear.in_features)))


class Constant(nn.Module):
    """A branch that gives one number everywhere."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x):
        return torch.full_like(x, self.number)


@KINDS
@pytest.mark.parametrize("branch", ["attn", "feed"])
def test_each_residual_branch_is_dropped_number_by_number(kind, branch):
    for block in all_of(kind, PoseBlock):
        x = torch.zeros(64, 1, block.attn.proj.in_features)
        block.attn, block.feed = (Constant(float(branch == own)) for own in ("attn", "feed"))
        assert_half_dropped(factors(block, x))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("lifter", "encoder.position"),
        *(("lifter", f"reduce.positions.{number}") for number in range(3)),
        ("masked", "encoder.position"),
        ("masked", "joint_token"),
        ("masked", "decoder.token"),
        ("masked", "decoder.position"),
    ],
)
def test_positions_and_tokens_start_normally_distributed_with_deviation_1(kind, name):
    drawn = torch.cat([network(kind, seed, depth=1).get_parameter(name).detach().flatten() for seed in range(60)])
    assert len(drawn.unique()) > 0.99 * len(drawn)
    assert drawn.mean() == pytest.approx(0, abs=0.2)
    assert drawn.std() == pytest.approx(1, abs=0.15)
    assert (drawn.abs() < 1).double().mean() == pytest.approx(0.683, abs=0.1)


@KINDS
def test_running_statistics_follow_a_batch_by_a_tenth(kind):
    """torch's default, as in the authors' code."""
    for norm in all_of(kind, nn.BatchNorm1d):
        x = 5 + 3 * tokens(norm.num_features)
        norm.train()(x)
        torch.testing.assert_close(norm.running_mean, 0.1 * x.mean(dim=(0, 1)))
        torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * x.flatten(0, 1).var(dim=0))
