import signal

import pytest
from ray.exceptions import RayActorError

from pipelines import distributed
from pipelines.distributed import interruptible


def test_a_process_that_ray_ends_was_interrupted_and_the_next_signal_is_ours_again():
    before = signal.getsignal(signal.SIGINT)

    def ends(*_: object) -> None:  # as Ray Train's handler does
        raise SystemExit(1)

    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.signal(signal.SIGINT, ends)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_else_ends_a_training_is_left_as_it_is():
    with pytest.raises(OSError, match="full"), interruptible():
        raise OSError("full")


class UnhealthyError(Exception):
    """As Ray Train reports a worker that does not answer."""

    def __init__(self, failure):
        super().__init__()
        self.health_check_failure = failure


@pytest.mark.parametrize("death", [RayActorError(preempted=True), UnhealthyError(RayActorError(preempted=True))])
def test_machines_that_are_taken_away_do_not_end_a_training_as_a_bug_does(death):
    patience, broken = distributed._patience(), UnhealthyError(RayActorError())
    for _ in range(distributed.ATTEMPTS - 1):
        patience.after_exception(None, {0: broken})
        patience.after_exception(None, {0: broken, 1: death})
    with pytest.raises(UnhealthyError):
        patience.after_exception(None, {0: broken})
