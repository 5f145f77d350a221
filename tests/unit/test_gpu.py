"""What a CUDA device must do as the CPU does; `pytest -m gpu`."""

import pytest
import torch

from mixste.corruption import corrupt
from mixste.inference import lift_sequences
from mixste.models import build_model
from mixste.recipe import CorruptionSettings
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


def test_keypoints_are_corrupted_where_they_are():
    generator = torch.Generator("cuda").manual_seed(0)
    settings = CorruptionSettings(noise=1.0, joint_mask=0.05, frame_mask=0.1)
    found = corrupt(torch.ones(2, 27, 17, 3, device="cuda"), settings, generator)
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
    for ours, theirs in zip(found, expected, strict=True):
        assert [ours[name] for name in compared] == pytest.approx(
            [theirs[name] for name in compared], rel=5e-3, abs=1e-6
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
