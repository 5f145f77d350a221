import pytest
from ray.exceptions import RayActorError

from mixste.errors import MixsteError
from pipelines.distributed import patience


class UnhealthyError(Exception):
    """As Ray Train reports a worker that does not answer."""

    def __init__(self, failure):
        super().__init__()
        self.health_check_failure = failure


@pytest.mark.parametrize("death", [RayActorError(preempted=True), UnhealthyError(RayActorError(preempted=True))])
def test_machines_that_are_taken_away_do_not_end_a_training_as_a_bug_does(death):
    callback, broken = patience._patience(), UnhealthyError(RayActorError())
    for _ in range(patience.ATTEMPTS - 1):
        callback.after_exception(None, {0: broken})
        callback.after_exception(None, {0: broken, 1: death})
    with pytest.raises(UnhealthyError):
        callback.after_exception(None, {0: broken})


def test_workers_that_die_as_they_begin_are_not_started_for_ever_and_those_without_room_are():
    from ray.train import ControllerError
    from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerGroupStartupTimeoutError
    from ray.train.v2._internal.execution.controller.state import ReschedulingState, RunningState

    (beginnings,) = patience._beginnings()
    died, busy = WorkerGroupStartupFailedError("exit type: SYSTEM_ERROR"), WorkerGroupStartupTimeoutError(2)
    again = [ReschedulingState(ControllerError(error)) for error in (died, busy, busy, busy, died)]
    for state in [*again, RunningState(), *again]:
        beginnings.after_controller_state_update(None, state)
    with pytest.raises(MixsteError, match="died as they began, 3 times in a row; found: exit type: SYSTEM_ERROR"):
        beginnings.after_controller_state_update(None, again[0])
