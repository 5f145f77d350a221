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


def history(device: torch.device) -> list[dict[str, float]]:
    """A short run without random draws: these differ between devices."""
    settings = factories.finetune_settings(epochs=2)
    model = factories.model_settings(drop_path=0.0)
    return list(factories.trainer(settings, model=model, device=device).epochs())


def test_training_on_the_gpu_gives_the_losses_of_the_cpu():
    expected, found = history(torch.device("cpu")), history(torch.device("cuda"))
    compared = ("lr", "loss", "w_mpjpe", "temporal", "velocity", "validation_mpjpe")
    for ours, theirs in zip(found, expected, strict=True):
        assert [ours[name] for name in compared] == pytest.approx(
            [theirs[name] for name in compared], rel=5e-3, abs=1e-6
        )
    assert found[1]["loss"] < found[0]["loss"]


@pytest.mark.parametrize("overlap", [0, 4])
def test_whole_sequences_are_lifted_on_the_gpu_as_on_the_cpu(overlap):
    sequences, flip = factories.sequences(), torch.tensor(factories.FLIP)
    expected = lift_sequences(factories.model(), sequences, flip=flip, overlap=overlap)
    cuda = torch.device("cuda")
    found = lift_sequences(factories.model().to(cuda), sequences.to(cuda), flip=flip.to(cuda), overlap=overlap)
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=0)
