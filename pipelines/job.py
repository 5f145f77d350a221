"""`dvc repro` of this checkout as a job of a running Ray cluster: `make job`, or `python -m pipelines.job [TARGET]`.

It runs on the cluster's head, in this very folder, which the head must see: outputs and dvc.lock are written here,
to be committed. RAY_API_SERVER_ADDRESS names the cluster's dashboard, or RAY_ADDRESS the dashboard or the cluster.
"""

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixste.errors import MixsteError, shown
from pipelines.process.environment import set_environment
from pipelines.process.stage import run

ADDRESS = "http://127.0.0.1:8265"
PASSED_ON = ("MLFLOW_TRACKING_URI",)  # no password: the dashboard shows it
STOP_S = 60.0
AGAIN_S, SILENT_S = 0.5, 60.0  # after a log ended: until it is asked for again, and given up
_CREDENTIALS = (
    "RAY_AUTH_MODE=token in this shell, and the cluster's token in RAY_AUTH_TOKEN, in the file of RAY_AUTH_TOKEN_PATH, "
    "or in ~/.ray/auth_token"
)


def entrypoint(checkout: Path, targets: Sequence[str]) -> str:
    """Return the shell command that the cluster runs."""
    place, programs = shlex.quote(str(checkout)), shlex.quote(str(Path(sys.executable).parent))
    missing = f"error: the cluster's head does not see {checkout}; to mend it: check out on a folder that it shares"
    return (
        f"cd {place} || {{ echo {shlex.quote(missing)} >&2; exit 1; }}; "
        f"PATH={programs}:$PATH exec dvc repro {shlex.join(targets)}".strip()
    )


def destination() -> str:
    """Return where jobs are submitted to: Ray goes by these variables itself."""
    return os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS") or ADDRESS


def submit(address: str, command: str) -> tuple[Any, str]:
    """Hand the command to the cluster; returns Ray's client and the job's id. MixsteError if the cluster refuses."""
    set_environment()
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    passed_on = {name: shown(os.environ[name]) for name in PASSED_ON if name in os.environ}
    try:
        client = JobSubmissionClient(address)
        return client, client.submit_job(entrypoint=command, runtime_env={"env_vars": passed_on})
    except AuthenticationError as error:
        raise MixsteError(
            f"the Ray cluster at {address} refuses this token", found=_first(error), expected=_CREDENTIALS
        ) from error
    except (ConnectionError, RuntimeError) as error:
        raise MixsteError(
            f"cannot submit a job to {address}",
            found=_first(error),
            mend="start a cluster with `ray start --head`, or set RAY_API_SERVER_ADDRESS to its dashboard",
        ) from error


def follow(client: Any, job: str) -> int:
    """Print a job's log as it comes, until the job ends; returns its exit status. Ctrl-C stops the job.

    Where the connection breaks, the job goes on, and so does the log when the cluster answers again; MixsteError if
    that does not happen.
    """
    try:
        info = _followed(client, job)
    except KeyboardInterrupt:
        sys.stderr.write(f"\nstopping {job}\n")
        client.stop_job(job)
        _wait(client, job)
        sys.stderr.write(f"{job} is stopped; `make job` again goes on: a training from its last epoch\n")
        return 130
    if info.status == "SUCCEEDED":
        return 0
    sys.stderr.write(f"\nerror: {job} {info.status.lower()}: {info.message or 'see its log above'}\n")
    return info.driver_exit_code or 1


def _followed(client: Any, job: str) -> Any:
    """Print the log until the job ended, and return what the cluster says of it then."""
    log, heard, reason = _Log(), time.monotonic(), "the log ended, and the job did not"
    while True:
        try:
            asyncio.run(log.tail(client, job))
            info = client.get_job_info(job)
            if info.status.is_terminal():
                return info
        except Exception as error:  # of Ray, requests and aiohttp: the reason is told when it lasts
            reason = _first(error)
        if log.grown():
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENT_S:
            raise MixsteError(
                f"the log of {job} cannot be followed any longer",
                found=reason,
                mend=f"the job goes on; `ray job logs --follow {job}` shows its log, and at its end how it ended",
            )
        time.sleep(AGAIN_S)


class _Log:
    """A job's log, which the cluster sends from its beginning each time, and which is printed once."""

    def __init__(self) -> None:
        self._printed = self._before = 0

    async def tail(self, client: Any, job: str) -> None:
        """Print what is new, until the connection or the job ends."""
        read = 0
        async for text in client.tail_job_logs(job):
            sys.stdout.write(text[max(0, self._printed - read) :])
            sys.stdout.flush()
            read += len(text)
            self._printed = max(self._printed, read)

    def grown(self) -> bool:
        """Whether there was anything new since this was asked last."""
        before, self._before = self._before, self._printed
        return self._printed > before


def _wait(client: Any, job: str) -> Any:
    until = time.monotonic() + STOP_S
    while not (info := client.get_job_info(job)).status.is_terminal():
        if time.monotonic() > until:
            raise MixsteError(f"{job} does not end", found=str(info.status), mend=f"`ray job stop {job}`")
        time.sleep(0.5)
    return info


def _first(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def main() -> None:
    """Submit, follow, and end as the job ended."""
    address = destination()
    client, job = submit(address, entrypoint(Path.cwd(), sys.argv[1:]))
    sys.stderr.write(f"{job} at {address}; Ctrl-C stops it\n")
    raise SystemExit(follow(client, job))


if __name__ == "__main__":
    run(main)
