"""A real MLflow server in a process of its own, to be killed and started again on the same port and database."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import requests


class Server:
    """`mlflow server` with its database and artifacts in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder, self.address = folder, f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, wait: float = 120) -> None:
        """Start it and wait until it answers; RuntimeError if it does not within `wait` seconds."""
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}"),
            *("--artifacts-destination", str(self.folder / "artifacts")),
        ]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                command, start_new_session=True, env={**os.environ, **quiet}, stdout=output, stderr=output
            )
        until = time.monotonic() + wait
        while time.monotonic() < until:
            with suppress(requests.RequestException):
                if requests.get(f"{self.address}/health", timeout=1).ok:
                    return
            time.sleep(0.2)
        self.kill()
        raise RuntimeError(f"no server at {self.address} within {wait:g} seconds; see {self.folder}/server.log")

    def kill(self) -> None:
        """End it with SIGKILL, all of its processes, and wait until its port is free."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except ConnectionRefusedError:
                return
            except ConnectionResetError:  # it was just ending
                continue
            time.sleep(0.05)
