"""The GPU's kernels in Triton's interpreter, on a CPU: `test_fused.py` runs this with TRITON_INTERPRET=1."""

from operator import truediv

import pytest
import torch
import triton
from einops import rearrange
from torch.nn import functional

from mixste.models import few_tokens, fused, kernels, layers, recompute_blocks
from tests.unit import factories


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    """Under autocast blocks compute in kernels, of few programs; three of them share what is summed over tokens."""
    monkeypatch.setattr(layers, "fused", fused)
    monkeypatch.setattr(fused, "fits", lambda x: torch.is_autocast_enabled("cpu"))
    monkeypatch.setattr(fused, "_programs", lambda x, sizes, tile: min(3, triton.cdiv(fused._tokens(x), sizes["ROWS"])))
    for name in ("NORM", "NORM_BACKWARD", "GELU", "GELU_BACKWARD", "PACK"):
        monkeypatch.setattr(fused, name, fused.Tile(4096, 1))
    monkeypatch.setattr(few_tokens, "wrap_triton", lambda kernel: kernel)
    monkeypatch.setattr(kernels.libdevice, "fast_dividef", truediv)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("frames", "drop_path"), [(9, 0.0), (33, 0.4)])
def test_a_network_in_kernels_has_the_outputs_and_gradients_of_the_plain_one(frames, drop_path, recompute):
    settings = factories.model_settings(frames=frames, width=48, heads=3, depth=2, drop_path=drop_path)
    model = factories.model(joints=5, **vars(settings)).train()
    model.spatial_norm.eps = 0.3  # so that it matters which norm's it is
    for path in (module for module in model.modules() if isinstance(module, layers.DropPath) and module.rate):
        path.kept = path.draw(torch.empty(2, frames, 5, 48))
    keypoints, given = torch.randn(2, 2, frames, 5, 3)
    expected = passed(model, keypoints, given)
    if recompute:
        recompute_blocks(model)
    with torch.autocast("cpu", torch.float16):
        found = passed(model, keypoints, given)
    for name, exact in expected.items():
        assert (found[name] - exact).norm() < 0.004 * exact.norm(), name


def passed(model, keypoints, given):
    """The output and the gradients of all weights."""
    model.zero_grad()
    output = model(keypoints)
    output.backward(given)
    return {"output": output.detach(), **{name: value.grad.clone() for name, value in model.named_parameters()}}


@pytest.mark.parametrize(("rows", "tokens", "heads", "width"), [(5, 17, 2, 16), (3, 9, 3, 12)])
def test_few_tokens_are_mixed_as_written_out(rows, tokens, heads, width):
    qkv = torch.randn(rows, tokens, 3 * heads * width, requires_grad=True)
    query, key, value = rearrange(qkv, "r n (three h d) -> three r h n d", three=3, h=heads)
    expected = rearrange(((query @ key.mT) * 0.2).softmax(-1) @ value, "r h n d -> r n (h d)")
    given = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad(expected, qkv, given)
    found = few_tokens.mix(qkv, heads, 0.2)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, qkv, given)[0], gradient)


def test_gelu_is_exact():
    x, bias = torch.linspace(-9, 9, 4096).reshape(64, 64).requires_grad_(), torch.zeros(64, requires_grad=True)
    expected, found = functional.gelu(x), fused.gelu(x, bias)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    (exact,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), x)[0], exact, atol=2e-6, rtol=0)
