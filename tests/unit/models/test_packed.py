import pytest
import torch
from torch import nn

from mixste.errors import MixsteError
from mixste.lifter import Lifter
from mixste.models import CLASSES
from mixste.models import packed as packing
from mixste.models.packed import Int8Linear, has_products, packed
from tests.unit.factories import model
from tests.unit.lifters import SIZE, lifter, person

products = pytest.mark.skipif(not has_products("int8"), reason="this CPU has no 8-bit products")


@products
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_off_by_no_more_than_its_roundings(bias):
    torch.manual_seed(0)
    linear = nn.Linear(64, 48, bias=bias)
    x = torch.randn(5, 7, 64) * 3 + 1
    with torch.inference_mode():
        exact, found = linear(x), Int8Linear(linear)(x)
    step = (x.max() - x.min()) / 254
    most = 64 * (linear.weight.abs().max() * step / 2 + (x.abs().max() + step) * linear.weight.abs().amax(1) / 254)
    assert found.shape == exact.shape
    assert ((found - exact).abs() <= most).all()
    assert (found - exact).norm() < 0.02 * exact.norm()


@products
@pytest.mark.parametrize("values", [torch.zeros(3, 32), torch.full((3, 32), 2.0), torch.full((3, 32), -2.0)])
def test_input_of_one_value_is_exact_but_for_the_weights(values):
    torch.manual_seed(0)
    linear = nn.Linear(32, 16)
    with torch.no_grad():
        linear.weight[0] = 0.0  # a row without a scale
        found = Int8Linear(linear)(values)
    assert torch.allclose(found, linear(values), atol=0.2)
    assert torch.allclose(found[:, 0], linear.bias[0].expand(3))


@products
@pytest.mark.parametrize("architecture", CLASSES)
def test_every_lifter_keeps_its_poses_and_its_first_and_last_layer(architecture):
    own = model(architecture=architecture, width=64)
    inner = packed(own, "int8")
    kept = [name for name, module in inner.named_modules() if isinstance(module, nn.Linear)]
    assert any(name.startswith("head") for name in kept)
    assert all(name.startswith(("embed", "head", "sequence_head")) for name in kept)
    assert any(isinstance(module, Int8Linear) for module in inner.modules())
    assert not any(isinstance(module, Int8Linear) for module in own.modules())
    keypoints = torch.randn(4, own.settings.frames, own.joints, own.settings.channels) / 2
    with torch.inference_mode():
        exact, found = own(keypoints), inner(keypoints)
    assert 0 < (found - exact).norm() < 0.05 * exact.norm()


@products
def test_a_lifter_of_8_bits_gives_nearly_the_same_motion():
    own = lifter(width=64)
    few = Lifter(own.model, own.config, precision="int8")
    pixels = person(30)
    exact, found = (each.lift(pixels, skeleton="h36m17", fps=50, image_size=SIZE) for each in (own, few))
    assert 0 < abs(found.joints - exact.joints).max() < 0.1 * abs(exact.joints).max()
    assert "The model computed in int8, which moves joints by a few millimetres." in found.report


def test_a_cpu_without_such_products_is_refused(monkeypatch):
    monkeypatch.setattr(packing.torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_vnni": False})
    with pytest.raises(MixsteError, match=r"cannot lift in int8; found: a CPU without VNNI; .*precision fp32 or bf16"):
        packed(model(), "int8")
