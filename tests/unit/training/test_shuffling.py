from itertools import pairwise

import pytest
import torch

from mixste.errors import MixsteError
from mixste.seeds import mixed
from mixste.training.shuffling import RUNS, Order


def seen(seed=0, windows=7, batch=2, steps=20):
    """Window numbers of every step."""
    order = Order(windows, seed, batch)
    return [order.batch(step).tolist() for step in range(steps)]


def shares(order, world, steps):
    """How many windows of each step each worker owns, `steps world`."""
    owners = [order.owner(order.batch(step), world) for step in range(steps)]
    return torch.stack([torch.bincount(own, minlength=world) for own in owners])


@pytest.mark.parametrize(("windows", "batch"), [(7, 2), (8, 4), (3, 8), (37, 4), (130, 32)])
def test_every_window_is_seen_once_a_pass_in_a_new_order(windows, batch):
    numbers = [number for step in seen(windows=windows, batch=batch, steps=40) for number in step]
    passes = [numbers[i : i + windows] for i in range(0, len(numbers) - windows + 1, windows)]
    assert len(passes) >= 4
    assert all(sorted(own) == list(range(windows)) for own in passes)
    assert len({tuple(own) for own in passes}) > 1


def test_the_order_is_a_function_of_the_seed():
    assert seen(seed=1) == seen(seed=1) != seen(seed=2)


def test_the_windows_of_a_step_do_not_depend_on_the_steps_before():
    forwards = seen(batch=3, steps=12)
    assert [Order(7, 0, 3).batch(step).tolist() for step in reversed(range(12))] == forwards[::-1]


@pytest.mark.parametrize(("windows", "batch", "world"), [(1024, 8, 2), (4096, 128, 64), (300, 16, 4), (4096, 5, 2)])
def test_workers_own_as_many_windows_of_every_batch_give_or_take_one(windows, batch, world):
    order = Order(windows, 0, batch)
    found = shares(order, world, steps=3 * windows // batch)
    assert (found.sum(dim=1) == batch).all()
    assert ((found - batch / world).abs() <= 1).all()


def test_a_number_of_workers_that_is_no_power_of_two_loses_nothing_either():
    found = shares(Order(1000, 0, 8), 3, steps=125)
    assert found.sum() == 1000
    assert found.sum(dim=0).min() > 300


def test_a_worker_owns_runs_of_neighbours_and_the_same_ones_in_every_pass():
    order = Order(10_000, 0, 8)
    owners = order.owner(torch.arange(10_000), 2)
    changes = sum(one != other for one, other in pairwise(owners.tolist()))
    assert changes == order.runs - 1 == RUNS - 1
    assert {*order.batch(0).tolist()} != {*order.batch(1250).tolist()}


def test_windows_of_a_batch_come_from_all_over():
    order = Order(64_000, 0, 8)
    spread = torch.stack([order.batch(step).double().std() for step in range(50)])
    assert spread.mean() > 0.8 * 64_000 / 12**0.5


def test_no_windows_are_refused():
    with pytest.raises(MixsteError, match="no windows"):
        Order(0, 0, 1)


def test_seeds_are_the_same_on_every_machine_and_differ_by_what_they_are_mixed_of():
    assert mixed(0, 1, "order") == 64760347282913085
    assert len({mixed(0), mixed(1), mixed(0, 0), mixed(0, "order")}) == 4
