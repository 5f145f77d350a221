"""The GPU's kernels in Triton's interpreter, on a CPU: `test_fused.py` runs this with TRITON_INTERPRET=1."""

from operator import truediv

import pytest
import torch
import triton
from einops import rearrange

from mixste.models import recompute_blocks
from mixste.models.kernels import fused, native, triton_attention, triton_launching, triton_norms
from tests.unit.models.kernels import passes


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    """Under autocast blocks compute in kernels, of few programs; three of them share what is summed over tokens."""
    monkeypatch.setattr(fused, "triton_launching", triton_launching)
    monkeypatch.setattr(fused, "by_triton", lambda x: True)
    monkeypatch.setattr(fused, "fits", lambda x: torch.is_autocast_enabled("cpu"))
    monkeypatch.setattr(native, "takes", lambda x: False)
    programs = lambda x, sizes, tile: min(3, triton.cdiv(triton_launching._tokens(x), sizes["ROWS"]))  # noqa: E731
    monkeypatch.setattr(triton_launching, "_programs", programs)
    for name in ("NORM", "NORM_BACKWARD", "GELU", "GELU_BACKWARD", "PACK"):
        monkeypatch.setattr(triton_launching, name, triton_launching.Tile(4096, 1))
    monkeypatch.setattr(triton_attention, "wrap_triton", lambda kernel: kernel)
    monkeypatch.setattr(triton_norms.libdevice, "fast_dividef", truediv)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("frames", "drop_path"), [(9, 0.0), (33, 0.4)])
def test_a_network_in_kernels_has_the_outputs_and_gradients_of_the_plain_one(frames, drop_path, recompute):
    model, keypoints, given = passes.network(frames, drop_path)
    expected = passes.passed(model, keypoints, given)
    if recompute:
        recompute_blocks(model)
    with torch.autocast("cpu", torch.float16):
        found = passes.passed(model, keypoints, given)
    for name, exact in expected.items():
        assert (found[name] - exact).norm() < 0.004 * exact.norm(), name


@pytest.mark.parametrize(("rows", "tokens", "heads", "width"), [(5, 17, 2, 16), (3, 9, 3, 12)])
def test_few_tokens_are_mixed_as_written_out(rows, tokens, heads, width):
    qkv = torch.randn(rows, tokens, 3 * heads * width, requires_grad=True)
    query, key, value = rearrange(qkv, "r n (three h d) -> three r h n d", three=3, h=heads)
    expected = rearrange(((query @ key.mT) * 0.2).softmax(-1) @ value, "r h n d -> r n (h d)")
    given = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad(expected, qkv, given)
    found = triton_attention.mix(qkv, heads, 0.2)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, qkv, given)[0], gradient)


def test_gelu_is_exact():
    passes.check_gelu()
