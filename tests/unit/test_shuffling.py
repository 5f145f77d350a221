import pytest

from mixste.errors import MixsteError
from mixste.shuffling import Order, mixed


def seen(seed=0, windows=7, batch=2, steps=20):
    """Window numbers of every step."""
    order = Order(windows, seed)
    return [order.batch(step, batch).tolist() for step in range(steps)]


@pytest.mark.parametrize(("windows", "batch"), [(7, 2), (8, 4), (3, 8)])
def test_every_window_is_seen_once_a_pass_in_a_new_order(windows, batch):
    numbers = [number for step in seen(windows=windows, batch=batch, steps=40) for number in step]
    passes = [numbers[i : i + windows] for i in range(0, len(numbers) - windows + 1, windows)]
    assert len(passes) >= 6
    assert all(sorted(own) == list(range(windows)) for own in passes)
    assert len({tuple(own) for own in passes}) > 1


def test_the_order_is_a_function_of_the_seed():
    assert seen(seed=1) == seen(seed=1) != seen(seed=2)


def test_the_windows_of_a_step_do_not_depend_on_the_steps_before():
    forwards = seen(batch=3, steps=12)
    assert [Order(7, 0).batch(step, 3).tolist() for step in reversed(range(12))] == forwards[::-1]


def test_no_windows_are_refused():
    with pytest.raises(MixsteError, match="no windows"):
        Order(0, 0)


def test_seeds_are_the_same_on_every_machine_and_differ_by_what_they_are_mixed_of():
    assert mixed(0, 1, "order") == 64760347282913085
    assert len({mixed(0), mixed(1), mixed(0, 0), mixed(0, "order")}) == 4
