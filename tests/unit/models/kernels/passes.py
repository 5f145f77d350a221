"""A small network with something to go wrong in every kernel of a block, and all that a pass through it gives."""

import torch
from torch.nn import functional

from mixste.models import layers
from mixste.models.kernels import fused
from tests.unit import factories


def network(frames, drop_path=0.0):
    """MixSTE, keypoints, and a gradient of its output."""
    settings = factories.model_settings(frames=frames, width=48, heads=3, depth=2, drop_path=drop_path)
    model = factories.model(joints=5, **vars(settings)).train()
    model.spatial_norm.eps = 0.3  # so that it matters which norm's it is
    for path in (module for module in model.modules() if isinstance(module, layers.DropPath) and module.rate):
        path.kept = path.draw(torch.empty(2, frames, 5, 48))
    return model, *torch.randn(2, 2, frames, 5, 3)


def passed(model, keypoints, given):
    """The output and the gradients of all weights."""
    model.zero_grad()
    output = model(keypoints)
    output.backward(given)
    return {"output": output.detach(), **{name: value.grad.clone() for name, value in model.named_parameters()}}


def check_gelu():
    """Kernels' GELU and its gradient against torch's."""
    x, bias = torch.linspace(-9, 9, 4096).reshape(64, 64).requires_grad_(), torch.zeros(64, requires_grad=True)
    expected, found = functional.gelu(x), fused.gelu(x, bias)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    (exact,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), x)[0], exact, atol=2e-6, rtol=0)
