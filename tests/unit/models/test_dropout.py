import pytest
import torch

from mixste.models.layers import Dropout, dropped


@pytest.mark.parametrize("shape", [(64, 17, 33), (7,), (0, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_its_share_and_keeps_the_mean(shape, dtype):
    layer, x = Dropout(0.1), torch.ones(shape, dtype=dtype, requires_grad=True)
    torch.manual_seed(3)
    found = layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), found)
    kept = found != 0
    torch.testing.assert_close(found, kept.to(dtype) / 0.9, rtol=1e-2, atol=0)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert torch.equal(gradient, found)
    assert layer.eval()(x) is x
    if x.numel() > 1000:
        assert 0.095 < 1 - kept.double().mean() < 0.105
        assert not torch.equal(kept, dropped(x, 0.1) != 0)


def test_dropout_of_neighbours_is_independent():
    kept = (dropped(torch.ones(2**18), 0.3) != 0).double()
    for apart in (1, 2, 3, 4, 8):
        together = (kept[apart:] * kept[:-apart]).mean()
        assert together == pytest.approx(0.49, abs=0.01)


@pytest.mark.parametrize(("rate", "left"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_of_nothing_and_of_all(rate, left):
    assert torch.equal(dropped(torch.ones(5), rate), torch.full((5,), left))
