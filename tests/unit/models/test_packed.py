import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional

from mixste.errors import MixsteError
from mixste.inference import lift
from mixste.lifter import Lifter
from mixste.models import CLASSES
from mixste.models import packed as packing
from mixste.models.packed import Bf16Linear, Int8Linear, has_products, packed
from tests.unit.factories import model
from tests.unit.lifters import SIZE, lifter, person

CPU = torch.device("cpu")
shorter = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU cannot even imitate 16-bit products"
)
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
    inner = packed(own, "int8", CPU)
    kept = [name for name, module in inner.named_modules() if isinstance(module, nn.Linear)]
    first, *last = kept
    assert own.get_submodule(first).in_features in {3, 3 * own.joints}
    assert last == [
        name for name, module in own.named_modules()
        if isinstance(module, nn.Linear) and f"{name}.".startswith(own.output_layers)
    ]  # fmt: skip
    assert packed(inner, "int8", CPU) is inner
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


@pytest.mark.parametrize("copied", [deepcopy, lambda own: pickle.loads(pickle.dumps(own))])  # noqa: S301 (our own)
@pytest.mark.parametrize("precision", [pytest.param("bf16", marks=shorter), pytest.param("int8", marks=products)])
def test_a_lifter_of_few_bits_is_the_same_in_a_copy_and_in_another_process(precision, copied):
    kind = {"bf16": Bf16Linear, "int8": Int8Linear}[precision]
    own = lifter(width=64)
    few = Lifter(packing._packed(own.model, kind), own.config, precision=precision)
    there = copied(few)
    assert any(isinstance(module, kind) for module in there.model.modules())
    first, second = (each.lift(person(30), skeleton="h36m17", fps=50, image_size=SIZE) for each in (few, there))
    assert (first.joints == second.joints).all()


@shorter
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("then", ["none", "gelu"])
def test_a_layer_of_16_bits_is_the_layer_in_bfloat16(bias, then):
    torch.manual_seed(0)
    linear = nn.Linear(64, 48, bias=bias)
    x = torch.randn(5, 7, 64)
    with torch.inference_mode():
        exact, found = linear(x), Bf16Linear(linear, then)(x)
    exact = functional.gelu(exact) if then == "gelu" else exact
    assert found.dtype == torch.bfloat16
    assert found.shape == exact.shape
    assert 0 < (found - exact).norm() < 0.01 * exact.norm()


@shorter
@pytest.mark.parametrize("architecture", CLASSES)
def test_every_lifter_of_16_bits_gives_what_autocast_gives(monkeypatch, architecture):
    monkeypatch.setattr(packing, "has_products", lambda precision: True)
    own = model(architecture=architecture, width=64)
    inner = packed(own, "bf16", CPU)
    assert any(isinstance(module, Bf16Linear) for module in inner.modules())
    keypoints = torch.randn(4, own.settings.frames, own.joints, 3) / 2
    exact, found, automatic = (
        lift(net, keypoints, precision=precision) for net, precision in ((own, "fp32"), (inner, "bf16"), (own, "bf16"))
    )
    assert 0 < (found - exact).norm() < 1.5 * (automatic - exact).norm()


def test_bf16_without_its_products_is_left_to_autocast(monkeypatch):
    monkeypatch.setattr(packing, "has_products", lambda precision: False)
    own = model()
    assert packed(own, "bf16", CPU) is own
    assert packed(own, "fp32", CPU) is own


def test_a_cpu_without_such_products_is_refused(monkeypatch):
    monkeypatch.setattr(packing.torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_vnni": False})
    with pytest.raises(MixsteError, match=r"cannot lift in int8; found: a CPU without VNNI; .*precision fp32 or bf16"):
        packed(model(), "int8", CPU)
