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
        return sum(process.memory_info().rss for process in self._whole() if self._lifts(process)) / 2**20

    def exposed(self) -> tuple[list[str], int]:
        """Processes that other machines can reach, but those that lift, and how many ports of those they can."""
        open_, lifting = [], 0
        for process in self._whole():
            ports = [one for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
            ports = [one for one in ports if one.laddr.ip.rpartition(":")[2] != "127.0.0.1"]
            lifting += len(ports) * self._lifts(process)
            open_ += [process.name()] * (len(ports) * (not self._lifts(process)))
        return open_, lifting

    def _whole(self) -> list[psutil.Process]:
        return [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]

    def _lifts(self, process: psutil.Process) -> bool:
        return _REPLICA[self.kind] in " ".join(process.cmdline())


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
