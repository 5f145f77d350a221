"""Environment variables that Ray, MLflow and DVC read when imported: quiet, offline, no telemetry."""

import os

from mixste import registry

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "15",  # a lost machine counts as there until then
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of tasks beside the one whose error is raised
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that fails reports nothing more
    **registry.ENVIRONMENT,
    "DVC_NO_ANALYTICS": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}


def set_environment() -> None:
    """Set what the user has not set; call before the first import of ray or mlflow."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
