import signal

import pytest
from ray.exceptions import RayActorError

from mixste.errors import MixsteError
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


def test_workers_that_die_as_they_begin_are_not_started_for_ever_and_those_without_room_are():
    from ray.train import ControllerError
    from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerGroupStartupTimeoutError
    from ray.train.v2._internal.execution.controller.state import ReschedulingState, RunningState

    (beginnings,) = distributed._beginnings()
    died, busy = WorkerGroupStartupFailedError("exit type: SYSTEM_ERROR"), WorkerGroupStartupTimeoutError(2)
    again = [ReschedulingState(ControllerError(error)) for error in (died, busy, busy, busy, died)]
    for state in [*again, RunningState(), *again]:
        beginnings.after_controller_state_update(None, state)
    with pytest.raises(MixsteError, match="died as they began, 3 times in a row; found: exit type: SYSTEM_ERROR"):
        beginnings.after_controller_state_update(None, again[0])
