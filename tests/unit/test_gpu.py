"""What a CUDA device must do as the CPU does; `pytest -m gpu`."""

import pytest
import torch

from mixste.corruption import corrupt
from mixste.models import build_model
from mixste.recipe import CorruptionSettings, ModelSettings

pytestmark = pytest.mark.gpu
SETTINGS = ModelSettings(
    architecture="mixste", frames=27, width=64, depth=2, heads=4, mlp_ratio=2.0, drop_path=0.0, channels=3
)


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
