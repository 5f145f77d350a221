"""When a training that fails is given up: machines come and go, but a bug stays."""

from typing import Any

from mixste.errors import MixsteError

ATTEMPTS = 3  # that fail without a new epoch between them


def callbacks() -> list[Any]:
    """What Ray Train tells of what fails; whatever these raise ends the training."""
    return [_patience(), *_beginnings()]


def _patience() -> Any:
    """Give up after some failures in a row without a new epoch.

    What fails beside a worker whose machine was taken away fails because of it.
    """
    from ray.train import UserCallback

    class Patience(UserCallback):
        failures = 0

        def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
            self.failures = 0

        def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
            self.failures += not any(map(_preempted, worker_exceptions.values()))
            if self.failures >= ATTEMPTS:
                raise next(iter(worker_exceptions.values()))

    return Patience()


def _beginnings() -> list[Any]:
    """Give up after some worker groups in a row of which a process died while it began, before any of our code runs.

    Where there is no room Ray tries again, too, which is not counted. The hook is not public: a Ray that does not have
    it tries for ever.
    """
    try:
        from ray.train.v2._internal.execution.callback import ControllerCallback
    except ImportError:
        return []

    class Beginnings(ControllerCallback):
        failures = 0

        def after_controller_state_update(self, previous_state: Any, current_state: Any) -> None:
            error = getattr(current_state, "training_failed_error", None)
            failure: Any = getattr(error, "controller_failure", None)
            if type(current_state).__name__ == "RunningState":
                self.failures = 0
            if type(failure).__name__ == "WorkerGroupStartupFailedError":
                self.failures += 1
                if self.failures >= ATTEMPTS:
                    raise MixsteError(
                        f"workers died as they began, {ATTEMPTS} times in a row",
                        found=str(failure.__cause__ or failure).splitlines()[-1][:200],
                        mend="see Ray's logs of them, in the dashboard or /tmp/ray/session_latest/logs: most often "
                        "memory runs out, or a machine's environment is not that of the others",
                    )

    return [Beginnings()]


def _preempted(error: Exception) -> bool:
    """Say whether Ray knows that a worker's machine was taken away, as the clouds' cheapest are."""
    return getattr(getattr(error, "health_check_failure", error), "preempted", False)
