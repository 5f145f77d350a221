import logging
import math
import platform

import pytest
import torch
from einops import rearrange
from torch.nn.utils import prune

from mixste.models import compile_blocks, recompute_blocks
from mixste.models.kernels import fused, native, native_compiling
from mixste.models.layers import mix
from mixste.models.packed import Int8Linear, has_products, packed
from tests.unit import factories
from tests.unit.models.kernels import passes

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
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("frames", "drop_path"), [(9, 0.0), (71, 0.4)])
def test_a_network_of_16_bits_is_no_further_off_in_kernels(frames, drop_path, recompute, calls, monkeypatch):
    model, keypoints, given = passes.network(frames, drop_path)

    def shorter():
        with torch.autocast("cpu", torch.bfloat16):
            return passes.passed(model, keypoints, given)

    expected = passes.passed(model, keypoints, given)
    plain = plainly(monkeypatch, shorter)
    if recompute:
        recompute_blocks(model)
    calls.clear()
    found = shorter()
    assert set(calls) == {"mix", "norm", "norm_backward", "gelu", "gelu_backward"}
    assert found["output"].dtype == torch.float32
    for name, exact in expected.items():
        assert (found[name] - exact).norm() < 1.3 * (plain[name] - exact).norm() + 2e-3 * exact.norm(), name


@needs_compiler
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_packed_layers_are_called_between_kernels(precision, calls, monkeypatch):
    if not has_products(precision):
        pytest.skip(f"this CPU has no {precision} products")
    own, keypoints, _ = passes.network(33)
    model = packed(own.eval(), precision, torch.device("cpu"))

    @torch.inference_mode()
    def lifted():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return model(keypoints).float()

    expected = plainly(monkeypatch, lifted)
    assert (lifted() - expected).norm() < 0.02 * expected.norm()
    assert set(calls) - {"round_to_bytes"} == {"mix", "norm"}
    model.spatial_blocks[0].attn.proj.register_forward_hook(lambda *_: calls.clear())
    lifted()
    assert "norm" in calls, "the blocks after the one that is hooked"


@needs_compiler
def test_a_branch_that_has_its_bias_is_added_as_it_is():
    x, branch, given = torch.randn(3, 2, 3, 5, 48)
    before, layer = (x.requires_grad_(), branch.requires_grad_()), torch.nn.LayerNorm(48)
    total, normed = fused.add_norm(x, branch, None, None, layer, by_joint=False, turned=False)
    torch.testing.assert_close(total, x + branch)
    exact = torch.autograd.grad(layer(x + branch), before, given)
    torch.testing.assert_close(torch.autograd.grad(normed, before, given), exact, atol=1e-5, rtol=1e-5)


@needs_compiler
@pytest.mark.parametrize(("tokens", "width", "learns", "native"), [
    (64, 64, True, True), (65, 64, True, False), (65, 32, True, True), (65, 64, False, True),
])  # fmt: skip
def test_many_tokens_of_wide_heads_learn_by_products_of_16_bits(tokens, width, learns, native, calls):
    qkv = torch.randn(1, 2, tokens, 3 * width, dtype=torch.bfloat16, requires_grad=True)
    with torch.set_grad_enabled(learns):
        found = mix(qkv, 1, width**-0.5)
    assert (calls == ["mix"]) == native
    query, key, value = qkv.double().chunk(3, dim=-1)
    expected = ((query @ key.mT) * width**-0.5).softmax(-1) @ value
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, atol=2e-2, rtol=2e-2)


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
    own = [name for name in expected if not name.startswith(("head", "embed"))]  # those are torch's
    assert len(own) > 40
    assert all(torch.equal(found[name], expected[name]) for name in own)


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
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("rows", "tokens", "heads", "width"), [(3, 17, 4, 16), (2, 1, 1, 5), (2, 33, 3, 20), (1, 243, 2, 64)]
)
def test_attention_is_as_written_out(rows, tokens, heads, width, dtype, by_token, biased):
    shape = (2, tokens, rows) if by_token else (2, rows, tokens)
    scale, memory = width**-0.5, 2 * torch.randn(*shape, 6 * heads * width).to(dtype)[..., 3 * heads * width :]
    close = 2e-5 if dtype == torch.float32 else 2e-2
    qkv = (memory.transpose(1, 2) if by_token else memory).requires_grad_()
    bias = torch.randn(3 * heads * width, requires_grad=True) if biased else None
    exact = qkv.double() if bias is None else qkv.double() + bias.double()
    query, key, value = rearrange(exact, "b r n (three h d) -> three b r h n d", three=3, h=heads)
    expected = rearrange(((query @ key.mT) * scale).softmax(-1) @ value, "b r h n d -> b r n (h d)")
    found = native.mix(qkv, heads, scale, bias)
    assert found.transpose(1, 2).is_contiguous() if by_token else found.is_contiguous()
    given, inputs = torch.randn_like(found), [qkv] + [bias] * biased
    torch.testing.assert_close(found.double(), expected, atol=close, rtol=close)
    gradients = torch.autograd.grad(found, inputs, given)
    for gradient, exact in zip(gradients, torch.autograd.grad(expected, inputs, given.double()), strict=True):
        assert gradient.dtype == exact.dtype
        torch.testing.assert_close(gradient, exact, atol=10 * close, rtol=10 * close)


@needs_compiler
@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_softmax_stands_the_smallest_and_the_largest_scores(scale):
    qkv = scale * torch.randn(1, 2, 20, 3 * 16)
    query, key, value = qkv.double().chunk(3, dim=-1)
    expected = (query @ key.mT).softmax(-1) @ value
    torch.testing.assert_close(native.mix(qkv, 1, 1.0).double(), expected, atol=1e-4 * scale, rtol=1e-4)


@needs_compiler
def test_16_bits_are_rounded_as_torch_rounds():
    bits = torch.randint(-(2**31), 2**31, (4096,), dtype=torch.int32)
    bits[:4] = torch.tensor([0x3F808000, 0x3F818000, 0x7FFFFFFF, -1])  # halves, down and up; what would overflow
    norm = torch.nn.LayerNorm(4096)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        norm.bias.copy_(bits.view(torch.float32))
        _, found = fused.enter(torch.zeros(1, 1, 1, 4096), norm, turned=False)
        torch.testing.assert_close(found.flatten(), norm.bias.bfloat16(), atol=0, rtol=0, equal_nan=True)


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
def test_other_numbers_are_left_to_torch(dtype, calls):
    mix(torch.randn(1, 2, 17, 48, dtype=dtype), 2, 0.25)
    assert not calls


@needs_compiler
@pytest.mark.parametrize("where", ["blocks", "mlp", "fc1", "norm"])
def test_a_layer_that_is_hooked_is_called(where, calls):
    model, keypoints, _ = passes.network(9)
    block = model.temporal_blocks[1]
    module = {"blocks": block, "mlp": block.mlp, "fc1": block.mlp.fc1, "norm": model.temporal_norm}[where]
    seen = []
    module.register_forward_hook(lambda *_: seen.append(where))
    model(keypoints)
    assert set(seen) == {where}
    assert calls, "other blocks stay in kernels"


@needs_compiler
def test_a_layer_whose_gradients_are_hooked_is_called(calls):
    model, keypoints, _ = passes.network(9)
    seen = []
    layer = model.temporal_blocks[1].mlp.fc1
    layer.register_full_backward_pre_hook(lambda *_: seen.append("fc1"))
    model(keypoints).sum().backward()
    assert seen == ["fc1"]


@needs_compiler
def test_hooks_for_all_modules_see_all_layers(calls):
    model, keypoints, _ = passes.network(9)
    linears = {module for module in model.modules() if isinstance(module, torch.nn.Linear)}
    seen = set()
    with torch.nn.modules.module.register_module_forward_hook(lambda module, *_: seen.add(module)):
        model(keypoints)
    assert linears <= seen


@needs_compiler
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("attn.proj", torch.nn.Linear(48, 48, bias=False)),
        ("attn.qkv", torch.nn.Linear(48, 144, bias=False)),
        ("norm2", torch.nn.LayerNorm(48, elementwise_affine=False)),
        ("mlp", torch.nn.Sequential(torch.nn.Linear(48, 9), torch.nn.Linear(9, 48))),
    ],
)
def test_an_exchanged_layer_is_called(name, layer, calls, monkeypatch):
    model, keypoints, _ = passes.network(9)
    for block in (*model.spatial_blocks, *model.temporal_blocks):
        block.set_submodule(name, layer)
    found = model(keypoints)
    assert set(calls) == {"mix"}
    torch.testing.assert_close(found, plainly(monkeypatch, lambda: model(keypoints)))


@needs_compiler
def test_a_pruned_layer_uses_what_is_left_of_its_weights(monkeypatch):
    model, keypoints, _ = passes.network(9)
    layer = model.spatial_blocks[0].mlp.fc1
    prune.random_unstructured(layer, "weight", 0.5)
    before = model(keypoints)
    with torch.no_grad():
        layer.weight_orig.mul_(2)
    assert not torch.allclose(model(keypoints), before)
    torch.testing.assert_close(model(keypoints), plainly(monkeypatch, lambda: model(keypoints)))


@needs_compiler
def test_frozen_weights_and_widened_gradients_are_as_in_the_plain_network(monkeypatch):
    model, keypoints, given = passes.network(9)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("spatial_blocks" not in name)

    def passed():
        output = model(keypoints)
        weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return torch.autograd.grad(output, weights, given[:1, :1].expand_as(output))

    for found, exact in zip(passed(), plainly(monkeypatch, passed), strict=True):
        assert (found - exact).norm() < 2e-5 * exact.norm()


@needs_compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_what_traces_and_transforms_networks_finds_torchs_operations(calls):
    from torch._subclasses.fake_tensor import FakeTensorMode  # which warns of what it imports

    model, keypoints, _ = passes.network(9)
    expected = model.eval()(keypoints)
    used = len(calls)
    torch.testing.assert_close(torch.jit.trace(model, keypoints, check_trace=False)(keypoints), expected)
    torch.testing.assert_close(torch.func.vmap(lambda each: model(each[None])[0])(keypoints), expected)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert model(mode.from_tensor(keypoints)).shape == expected.shape
    assert len(calls) == used


@needs_compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch's compiler imports
def test_compiling_leaves_kernels_alone(calls):
    model, keypoints, given = passes.network(9)
    expected = passes.passed(model, keypoints, given)
    compile_blocks(model)
    torch._dynamo.utils.counters.clear()
    found = passes.passed(model, keypoints, given)
    assert all(torch.equal(found[name], exact) for name, exact in expected.items())
    assert not torch._dynamo.utils.counters["stats"]


@needs_compiler
def test_nothing_is_mixed_of_nothing():
    assert native.mix(torch.randn(0, 3, 17, 48), 2, 0.25).shape == (0, 3, 17, 16)


@needs_compiler
def test_gelu_is_exact():
    passes.check_gelu()


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
    monkeypatch.setattr(native_compiling, "_compiled", lambda path: pytest.fail(f"compiled again: {path}"))
    assert native.library()._name == str(kept)


@needs_compiler
@pytest.mark.skipif(platform.machine() != "x86_64", reason="not such a CPU")
@pytest.mark.parametrize("older", ["-mno-avx512f", "-mno-avx"])
def test_vectors_of_older_cpus_give_the_same(older, fresh, monkeypatch):
    model, keypoints, given = passes.network(33, 0.4)
    expected = passes.passed(model, keypoints, given)
    monkeypatch.setattr(native_compiling, "FLAGS", [*native_compiling.FLAGS, older])
    older_library = native.library()
    monkeypatch.setattr(native, "library", lambda: older_library)
    found = passes.passed(model, keypoints, given)
    for name, exact in expected.items():
        assert (found[name] - exact).norm() < 2e-5 * exact.norm(), name


@needs_compiler
def test_a_cache_that_cannot_be_written_to_is_done_without(fresh, caplog):
    fresh.write_text("not a folder")
    with caplog.at_level(logging.INFO):
        assert native.library() is not None
    assert "not kept" in caplog.text


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false", 'gcc "unclosed'])
def test_without_a_compiler_networks_are_torchs(fresh, compiler, monkeypatch, caplog):
    monkeypatch.setenv("CC", compiler)
    with caplog.at_level(logging.INFO):
        assert native.library() is None
    assert compiler.split()[-1].strip('"') in caplog.text or "quotation" in caplog.text
    assert not fresh.exists()
    assert mix(torch.randn(1, 2, 17, 48), 2, 0.25).shape == (1, 2, 17, 16)


@needs_compiler
def test_a_damaged_cache_is_made_anew(fresh):
    assert native.library() is not None
    (kept,) = fresh.iterdir()
    whole = kept.stat().st_size
    kept.write_bytes(b"not a library")
    assert native.library() is not None
    assert kept.stat().st_size == whole
