import pytest
import torch

from mixste.training.optimisation import build_optimiser, learning_rate, shrink_outputs
from tests.unit.factories import model, optimiser_settings


def rates(steps_per_epoch=10, epochs=10, at=(), **changes):
    settings = optimiser_settings(**{"lr": 0.8, **changes})
    return [learning_rate(settings, step, steps_per_epoch, epochs) for step in at]


def test_warm_up_rises_in_equal_steps_to_the_full_rate():
    assert rates(warmup=0.04, at=range(5)) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])


def test_the_cosine_falls_from_the_end_of_the_warm_up_to_zero():
    by_hand = [0.8, 0.8 * (1 + 0.5**0.5) / 2, 0.4, 0.8 * (1 - 0.5**0.5) / 2, 0.0]
    assert rates(warmup=0.2, schedule="cosine", at=(20, 40, 60, 80, 100)) == pytest.approx(by_hand)


def test_decay_multiplies_the_rate_once_an_epoch():
    assert rates(schedule="decay", decay=0.5, at=(0, 9, 10, 19, 20, 35)) == pytest.approx(
        [0.8, 0.8, 0.4, 0.4, 0.2, 0.1]
    )


def test_a_constant_rate_stays():
    assert rates(at=(0, 50, 99)) == [0.8] * 3


def test_a_run_that_is_all_warm_up_never_exceeds_the_full_rate():
    assert rates(warmup=1.0, schedule="cosine", at=(0, 49, 99)) == pytest.approx([0.008, 0.4, 0.8])


@pytest.mark.parametrize("schedule", ["cosine", "decay", "constant"])
def test_the_rate_is_never_zero_at_a_step_that_is_taken(schedule):
    assert min(rates(warmup=0.1, schedule=schedule, at=range(100))) > 0


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimiser_has_its_settings_and_every_parameter(name, kind):
    network = model()
    optimiser = build_optimiser(network, optimiser_settings(name=name, lr=0.01, weight_decay=0.3, amsgrad=True))
    assert type(optimiser) is kind
    (group,) = optimiser.param_groups
    assert (group["lr"], group["weight_decay"], group["amsgrad"]) == (0.01, 0.3, True)
    assert [id(p) for p in group["params"]] == [id(p) for p in network.parameters()]


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("output_share", [1.0, 1e-3])
def test_moments_are_remembered_as_torch_does_by_default(name, output_share):
    """No paper names others, and no authors' code sets them."""
    optimiser = build_optimiser(model(), optimiser_settings(name=name, output_share=output_share))
    for group in optimiser.param_groups:
        assert (group["betas"], group["eps"], group["maximize"]) == ((0.9, 0.999), 1e-8, False)


@pytest.mark.parametrize("architecture", ["stcformer", "pstmo"])
def test_an_output_share_of_a_thousandth_is_training_in_millimetres(architecture):
    """Two steps beside a plain loop: the same network gives millimetres there, and is charged in them."""
    metres, millimetres = (model(architecture=architecture, dropout=0.0) for _ in range(2))
    settings = optimiser_settings(name="adam", lr=1e-3, weight_decay=0.0, amsgrad=True, output_share=1e-3)
    shrink_outputs(metres, settings.output_share)
    ours = build_optimiser(metres, settings)
    for group in ours.param_groups:
        group["lr"] = settings.lr * group["share"]
    theirs = torch.optim.Adam(millimetres.parameters(), 1e-3, amsgrad=True)
    keypoints, target = torch.randn(4, 9, 17, 3), torch.randn(4, 1, 17, 3)
    before = millimetres(keypoints)
    for network, optimiser, unit in ((metres, ours, 1.0), (millimetres, theirs, 1e3)):
        for _ in range(3):
            optimiser.zero_grad()
            (network(keypoints)[:, :1] - unit * target).norm(dim=-1).mean().backward()
            optimiser.step()
    moved, wanted = 1e3 * metres(keypoints) - before, millimetres(keypoints) - before
    assert wanted.norm() > 0.1 * before.norm()
    torch.testing.assert_close(moved, wanted, rtol=0.02, atol=0.02 * wanted.abs().max().item())


def test_without_an_output_share_nothing_shrinks():
    network = model()
    before = [parameter.clone() for parameter in network.parameters()]
    shrink_outputs(network, 1.0)
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
