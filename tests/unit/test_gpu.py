"""What a CUDA device must do as the CPU does; `pytest -m gpu`."""

import time

import pytest
import torch
from einops import rearrange
from torch import nn

from mixste.corruption import corrupt
from mixste.inference import lift_sequences
from mixste.machine.hardware import Stopwatch, peak_flops
from mixste.models import build_model, layers
from mixste.models.kernels import fused
from mixste.models.layers import Block
from mixste.recipe import CorruptionSettings, Execution
from mixste.skeleton import load_skeleton
from tests.unit import factories

pytestmark = pytest.mark.gpu
SETTINGS = factories.model_settings(frames=27, width=64, heads=4, drop_path=0.0)


def test_the_gpu_lifts_as_the_cpu_does():
    model = build_model(SETTINGS, joints=17).eval()
    keypoints = torch.rand(4, 27, 17, 3)
    with torch.inference_mode():
        expected = model(keypoints)
        found = model.cuda()(keypoints.cuda()).cpu()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_gradients_on_the_gpu_are_those_of_the_cpu():
    gradients = {}
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = build_model(SETTINGS, joints=17).to(device)
        model(torch.ones(2, 27, 17, 3, device=device)).square().mean().backward()
        gradients[device] = model.head.weight.grad.cpu()
    torch.testing.assert_close(gradients["cuda"], gradients["cpu"], atol=1e-4, rtol=1e-3)


def explicit(qkv, heads, scale):
    query, key, value = rearrange(qkv, "r n (three h d) -> three r h n d", three=3, h=heads)
    return rearrange(((query @ key.mT) * scale).softmax(-1) @ value, "r h n d -> r n (h d)")


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize(
    ("rows", "tokens", "heads", "width"), [(5, 17, 8, 64), (3, 17, 2, 16), (7, 9, 3, 12), (2, 32, 1, 128)]
)
@pytest.mark.parametrize("half", [False, True])
def test_few_tokens_are_mixed_as_written_out(rows, tokens, heads, width, dtype, close, half):
    from mixste.models.kernels import triton_attention

    generator = torch.Generator("cuda").manual_seed(0)
    whole = torch.randn(rows, tokens, 6 * heads * width, device="cuda", generator=generator).to(dtype)
    qkv = (whole.chunk(2, dim=-1)[1] if half else whole[..., : 3 * heads * width].contiguous()).detach()
    exact, found = (qkv.double() if dtype == torch.float32 else qkv.float(), qkv)
    exact, found = exact.clone().requires_grad_(), found.requires_grad_()
    given = torch.randn(rows, tokens, heads * width, device="cuda", generator=generator).to(dtype)
    expected, mixed = explicit(exact, heads, 0.2), triton_attention.mix(found, heads, 0.2)
    expected.backward(given.to(exact.dtype))
    mixed.backward(given)
    torch.testing.assert_close(mixed.to(exact.dtype), expected, atol=close, rtol=close)
    torch.testing.assert_close(found.grad.to(exact.dtype), exact.grad, atol=2 * close, rtol=2 * close)


def passed(block, x, norm, given):
    """What a block gives, and the gradients of its input and of all its weights."""
    x = x.clone().requires_grad_()
    found = layers.settled(block(x, norm))
    found.backward(given)
    weights = [*block.parameters(), *norm.parameters()]
    return [found.detach(), x.grad, *(weight.grad for weight in weights)]


@pytest.mark.parametrize("axis", ["space", "time"])
@pytest.mark.parametrize("drop_path", [0.0, 0.4])
@pytest.mark.parametrize(("width", "heads"), [(64, 4), (48, 3), (512, 8)])
@pytest.mark.parametrize("frames", [9, 50])
def test_a_block_in_kernels_gives_what_it_gives_in_double_precision(axis, drop_path, width, heads, frames):
    torch.manual_seed(0)
    block, norm = Block(width, heads, axis, mlp_ratio=2.0, drop_path=drop_path).cuda(), nn.LayerNorm(width).cuda()
    with torch.no_grad():
        for parameter in (*block.parameters(), *norm.parameters()):
            parameter.add_(0.1 * torch.randn_like(parameter))
    x, given = torch.randn(2, 3, frames, 17, width, device="cuda")
    if drop_path:
        for path in (block.attn_path, block.mlp_path):
            path.kept = path.draw(x)
    with torch.autocast("cuda", torch.bfloat16):
        assert block.in_kernels(x, norm)
        found = passed(block, x, norm, given)
    for module in (block, norm):
        module.double().zero_grad()
    expected = passed(block, x.double(), norm, given.double())
    for ours, exact in zip(found, expected, strict=True):
        assert (ours - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize("execution", [Execution(), Execution(recompute=True), Execution(accumulate=2)])
def test_a_training_in_kernels_has_the_losses_and_errors_of_one_without(execution, monkeypatch):
    def losses():
        settings, model = factories.pretrain_settings(epochs=2), factories.model_settings(frames=41, drop_path=0.3)
        how = {"device": torch.device("cuda"), "precision": "bf16", "execution": execution}
        records = list(factories.trainer(settings, model=model, **how).epochs())
        return [record[name] for record in records for name in ("loss", "validation_mpjpe")]

    found = losses()
    monkeypatch.setattr(fused, "fits", lambda x: False)
    assert found == pytest.approx(losses(), rel=2e-2)


@pytest.mark.parametrize("architecture", ["mixste", "stcformer", "pstmo"])
@pytest.mark.parametrize("make", [factories.pretrain_settings, factories.finetune_settings])
def test_fused_kernels_give_the_losses_of_the_plain_ones_without_compiling_again(architecture, make):
    losses = {}
    for compiled in (False, True):
        model = factories.model_settings(architecture=architecture, drop_path=0.0)
        run = factories.trainer(make(), model=model, device=torch.device("cuda"), execution=Execution(compile=compiled))
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        losses[compiled] = [record["loss"] for record in run.epochs()]
    assert losses[True] == pytest.approx(losses[False], rel=5e-3)
    assert (
        torch._dynamo.utils.counters["stats"]["unique_graphs"]
        == {"mixste": 2, "stcformer": 1, "pstmo": 4}[architecture]
    )
    assert not torch._dynamo.utils.counters["graph_break"]


def test_operations_are_counted_as_by_hand():
    run = factories.trainer(factories.finetune_settings(epochs=1), device=torch.device("cuda"), precision="bf16")
    record = next(run.epochs())
    if "mfu" not in record:
        pytest.skip("a GPU whose peak is not known")
    windows = run.steps_per_epoch * run.settings.batch_size
    peak = peak_flops(torch.device("cuda"), "bf16")
    flops = record["mfu"] * peak * record["step_seconds"] * run.steps_per_epoch / windows
    assert flops == pytest.approx(6 * run.model.all_macs(run.model.settings.frames), rel=0.01)


def test_a_stopwatch_counts_what_the_stream_takes_not_how_long_it_is_asked():
    watch, matrix = Stopwatch(torch.device("cuda")), torch.randn(8192, 8192, device="cuda")
    torch.cuda.synchronize()
    with watch:
        asked = time.perf_counter()
        for _ in range(20):
            matrix @ matrix
        asked = time.perf_counter() - asked
    torch.cuda.synchronize()
    assert watch.read() > asked
    assert watch.read() == 0


def test_keypoints_are_corrupted_where_they_are():
    generator = torch.Generator("cuda").manual_seed(0)
    settings = CorruptionSettings(noise=1.0, joint_mask=0.05, frame_mask=0.1)
    found = corrupt(torch.ones(2, 27, 17, 3, device="cuda"), settings, generator, joints=load_skeleton("h36m17").joints)
    assert found.is_cuda
    assert torch.isfinite(found).all()


def history(device: torch.device, architecture: str) -> list[dict[str, float]]:
    """A short run without random draws that matter: these differ between devices."""
    settings = factories.finetune_settings(epochs=2)
    model = factories.model_settings(architecture=architecture, drop_path=0.0)
    return list(factories.trainer(settings, model=model, device=device).epochs())


@pytest.mark.parametrize("architecture", ["mixste", "pstmo", "stcformer", "stcformer_3dhp"])
def test_training_on_the_gpu_gives_the_losses_of_the_cpu(architecture):
    expected, found = (history(torch.device(device), architecture) for device in ("cpu", "cuda"))
    compared = ("lr", "loss", "w_mpjpe", "temporal", "velocity", "validation_mpjpe")
    close = 2e-2 if architecture == "pstmo" else 5e-3  # batch norm makes more of a difference of rounding
    for ours, theirs in zip(found, expected, strict=True):
        assert [ours[name] for name in compared] == pytest.approx(
            [theirs[name] for name in compared], rel=close, abs=1e-6
        )
    assert found[1]["loss"] < found[0]["loss"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("architecture", ["mixste", "pstmo", "stcformer"])
def test_masked_pre_training_learns_on_the_gpu(architecture, precision):
    settings = factories.mpm_settings(epochs=15, windows_per_epoch=32, flip="both")
    model = factories.model_settings(architecture=architecture, drop_path=0.0)
    run = factories.trainer(settings, model=model, device=torch.device("cuda"), precision=precision)
    records = list(run.epochs())
    assert records[-1]["loss"] < 0.7 * records[0]["loss"]
    assert records[-1]["validation_2d_error"] < records[0]["validation_2d_error"]


@pytest.mark.parametrize("settings", [{"architecture": "pstmo", "step": 2}, {"output": "centre"}])
def test_centre_frames_are_lifted_on_the_gpu_as_on_the_cpu(settings):
    sequences, cuda = factories.sequences(), torch.device("cuda")
    expected = lift_sequences(factories.model(**settings), sequences, flip=None)
    found = lift_sequences(factories.model(**settings).to(cuda), sequences.to(cuda), flip=None)
    torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("overlap", [0, 4])
def test_whole_sequences_are_lifted_on_the_gpu_as_on_the_cpu(overlap):
    sequences, flip = factories.sequences(), torch.tensor(factories.FLIP)
    expected = lift_sequences(factories.model(), sequences, flip=flip, overlap=overlap)
    cuda = torch.device("cuda")
    found = lift_sequences(factories.model().to(cuda), sequences.to(cuda), flip=flip.to(cuda), overlap=overlap)
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=0)
