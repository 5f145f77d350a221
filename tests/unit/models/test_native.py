import logging
import math

import pytest
import torch
from einops import rearrange
from torch.nn import functional

from mixste.models import fused, native, recompute_blocks
from mixste.models.layers import mix
from mixste.models.packed import Int8Linear
from tests.unit import factories
from tests.unit.models import passes

needs_compiler = pytest.mark.skipif(native.library() is None, reason="no C compiler with OpenMP")


@pytest.fixture
def calls(monkeypatch):
    """The kernels that are run, by name."""
    run, names = native._run, []
    monkeypatch.setattr(native, "_run", lambda name, *arguments: (names.append(name), run(name, *arguments))[1])
    return names


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A process that has compiled nothing yet, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native, "library", native.library.__wrapped__)
    return tmp_path / "mixste"


def plainly(monkeypatch, work):
    with monkeypatch.context() as patch:
        patch.setattr(native, "library", lambda: None)
        return work()


@needs_compiler
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("frames", "drop_path"), [(9, 0.0), (33, 0.4)])
def test_a_network_in_kernels_has_the_outputs_and_gradients_of_the_plain_one(
    frames, drop_path, recompute, calls, monkeypatch
):
    model, keypoints, given = passes.network(frames, drop_path)
    expected = plainly(monkeypatch, lambda: passes.passed(model, keypoints, given))
    assert not calls
    if recompute:
        recompute_blocks(model)
    found = passes.passed(model, keypoints, given)
    assert set(calls) == {"mix", "norm", "norm_backward", "gelu", "gelu_backward"}
    for name, exact in expected.items():
        assert (found[name] - exact).norm() < 2e-5 * exact.norm(), name


@needs_compiler
def test_results_do_not_depend_on_the_threads():
    model, keypoints, given = passes.network(33, 0.4)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = passes.passed(model, keypoints, given)
        torch.set_num_threads(3)
        found = passes.passed(model, keypoints, given)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[name], expected[name]) for name in ("output", "spatial_norm.weight"))


@needs_compiler
def test_tokens_of_an_odd_number_of_numbers_leave_norms_to_torch(calls, monkeypatch):
    model = factories.model(width=40, heads=2)
    keypoints = torch.randn(1, 9, 17, 3)
    expected = plainly(monkeypatch, lambda: model(keypoints))
    torch.testing.assert_close(model(keypoints), expected)
    assert set(calls) == {"mix"}


@needs_compiler
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("by_token", [False, True])
@pytest.mark.parametrize(
    ("rows", "tokens", "heads", "width"), [(3, 17, 4, 16), (2, 1, 1, 5), (2, 33, 3, 20), (1, 243, 2, 64)]
)
def test_attention_is_as_written_out(rows, tokens, heads, width, by_token, biased):
    shape = (2, tokens, rows) if by_token else (2, rows, tokens)
    scale, memory = width**-0.5, 2 * torch.randn(*shape, 6 * heads * width)[..., 3 * heads * width :]
    qkv = (memory.transpose(1, 2) if by_token else memory).requires_grad_()
    bias = torch.randn(3 * heads * width, requires_grad=True) if biased else None
    exact = (qkv if bias is None else qkv + bias).double()
    query, key, value = rearrange(exact, "b r n (three h d) -> three b r h n d", three=3, h=heads)
    expected = rearrange(((query @ key.mT) * scale).softmax(-1) @ value, "b r h n d -> b r n (h d)")
    found = native.mix(qkv, heads, scale, bias)
    assert found.transpose(1, 2).is_contiguous() if by_token else found.is_contiguous()
    given, inputs = torch.randn_like(found), [qkv] + [bias] * biased
    torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=2e-5)
    gradients = torch.autograd.grad(found, inputs, given)
    for gradient, exact in zip(gradients, torch.autograd.grad(expected, inputs, given.double()), strict=True):
        torch.testing.assert_close(gradient, exact, atol=2e-4, rtol=2e-4)


@needs_compiler
@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_softmax_stands_the_smallest_and_the_largest_scores(scale):
    qkv = scale * torch.randn(1, 2, 20, 3 * 16)
    query, key, value = qkv.double().chunk(3, dim=-1)
    expected = (query @ key.mT).softmax(-1) @ value
    torch.testing.assert_close(native.mix(qkv, 1, 1.0).double(), expected, atol=1e-4 * scale, rtol=1e-4)


@needs_compiler
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_what_is_no_number_does_not_vanish(part, value):
    qkv = torch.randn(1, 1, 17, 3 * 16)
    qkv[0, 0, 5, 16 * part] = value
    assert not native.mix(qkv, 1, 0.25).isfinite().all()
    x = torch.randn(1, 1, 4, 16)
    x[0, 0, 2, part] = value
    assert not fused.gelu(x, torch.zeros(16)).isfinite().all()
    assert fused.enter(x, torch.nn.LayerNorm(16), turned=False)[1][0, 0, 2].isnan().all()


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_numbers_than_float32_are_left_to_torch(dtype, calls):
    mix(torch.randn(1, 2, 17, 48, dtype=dtype), 2, 0.25)
    assert not calls


@needs_compiler
def test_gelu_is_exact():
    x, bias = torch.linspace(-9, 9, 4096).reshape(64, 64).requires_grad_(), torch.zeros(64, requires_grad=True)
    expected, found = functional.gelu(x), fused.gelu(x, bias)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    (exact,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), x)[0], exact, atol=2e-6, rtol=0)


@needs_compiler
def test_eight_bits_are_those_of_torch(calls, monkeypatch):
    linear, x = Int8Linear(torch.nn.Linear(40, 24)), torch.randn(3, 7, 40)
    expected = plainly(monkeypatch, lambda: linear(x))
    torch.testing.assert_close(linear(x), expected)
    assert calls == ["round_to_bytes"]


@needs_compiler
def test_what_was_compiled_is_kept_and_loaded_again(fresh, monkeypatch):
    assert native.library() is not None
    (kept,) = fresh.iterdir()
    monkeypatch.setattr(native, "_compiled", lambda path: pytest.fail(f"compiled again: {path}"))
    assert native.library()._name == str(kept)


@needs_compiler
def test_a_cache_that_cannot_be_written_to_is_done_without(fresh, caplog):
    fresh.write_text("not a folder")
    with caplog.at_level(logging.INFO):
        assert native.library() is not None
    assert "not kept" in caplog.text


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_networks_are_torchs(fresh, compiler, monkeypatch, caplog):
    monkeypatch.setenv("CC", compiler)
    with caplog.at_level(logging.INFO):
        assert native.library() is None
    assert compiler in caplog.text
    assert not fresh.exists()
    assert mix(torch.randn(1, 2, 17, 48), 2, 0.25).shape == (1, 2, 17, 16)


@needs_compiler
def test_a_damaged_cache_is_made_anew(fresh):
    assert native.library() is not None
    (kept,) = fresh.iterdir()
    kept.write_bytes(b"not a library")
    assert native.library() is not None
