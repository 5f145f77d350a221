"""Both kinds of server, in processes of their own, to be measured and tested."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import requests

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "ray": ("pipelines.serve", "model={model}", "port={port}"),
    "mlflow": ("mlflow", "models", "serve", "-m", "{model}", "--env-manager", "local", "--port", "{port}"),
}
_REPLICA = {"ray": "ServeReplica", "mlflow": "uvicorn"}  # what the process that lifts is called
_WAIT = 240.0


class Server:
    """A server that is starting: its address, and the process that lifts."""

    def __init__(self, kind: str, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.kind, self.process, self.address = kind, process, f"http://127.0.0.1:{port}"

    def ready(self) -> str:
        """Wait until it answers and return its address; RuntimeError if it does not."""
        until = time.monotonic() + _WAIT
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(requests.RequestException):
                if requests.get(f"{self.address}/health", timeout=5).ok:
                    return self.address
            time.sleep(0.1)
        raise RuntimeError(f"no {self.kind} server at {self.address} within {_WAIT:g} seconds")

    def memory(self) -> float:
        """Resident memory of the processes that lift, MiB."""
        whole = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        own = [process for process in whole if _REPLICA[self.kind] in " ".join(process.cmdline())]
        return sum(process.memory_info().rss for process in own) / 2**20


@contextmanager
def started(kind: str, model: str, *options: str) -> Iterator[Server]:
    """Start `mlflow models serve` or `python -m pipelines.serve` at a free port, and end it with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", *(part.format(model=model, port=port) for part in COMMANDS[kind]), *options]
    paths = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env={**os.environ, **paths}, start_new_session=True)
    try:
        yield Server(kind, process, port)
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
