"""A Ray cluster of several machines, played by processes of this one that can be killed one by one."""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.drills.checkout import environment

OPTIONS = (
    "--node-ip-address=127.0.0.1",
    "--object-store-memory=80000000",
    "--num-gpus=0",
    *("--min-worker-port=0", "--max-worker-port=0"),  # any free port, beside another Ray, too
    "--disable-usage-stats",
    "--block",
)
GROWING = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
WAIT_S = 300  # on a busy machine


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(holds: Callable[[], bool], what: str, seconds: float = WAIT_S) -> float:
    """Wait until something holds; returns the seconds it took. TimeoutError, naming it, if it does not."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"not within {seconds:g} seconds: {what}")
        time.sleep(0.1)
    return time.monotonic() - started


def kill_tree(pid: int) -> None:
    """Kill a process and all that it started, at once."""
    try:
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=10)


@dataclass
class Machines:
    """A head, on which jobs run, and the nodes beside it; each is a process `ray start --block` with its children."""

    folder: Path
    env: dict[str, str]
    port: int = field(default_factory=free_port)
    dashboard: int = field(default_factory=free_port)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """What RAY_ADDRESS is for those who train on the cluster."""
        return f"127.0.0.1:{self.port}"

    @property
    def jobs(self) -> str:
        """Where jobs are submitted to, and the dashboard is looked at."""
        return f"http://127.0.0.1:{self.dashboard}"

    def start_head(self, cpus: int = 1, grows_to: int = 0) -> None:
        """Start the head with the dashboard; it starts up to `grows_to` machines of one CPU as they are asked for."""
        ports = (f"--port={self.port}", f"--dashboard-port={self.dashboard}", f"--ray-client-server-port={free_port()}")
        autoscaler = [f"--autoscaling-config={self._autoscaler(grows_to)}"] if grows_to else []
        head = ("--head", *ports, f"--temp-dir={self.folder}", "--include-dashboard=true", f"--num-cpus={cpus}")
        self._start(*head, *autoscaler)

    def add(self, cpus: int = 1) -> subprocess.Popen[bytes]:
        """Start one more node."""
        return self._start(f"--address={self.address}", f"--num-cpus={cpus}")

    def _autoscaler(self, machines: int) -> Path:
        """Write settings for Ray's autoscaler and its provider of machines for tests, which are processes here."""
        provider = {"type": "fake_multinode", "gcs_address": self.address, "launch_multiple": True}
        kind = {"node_config": {}, "min_workers": 0, "max_workers": machines}
        settings = {
            **{"cluster_name": "growing", "max_workers": machines, "idle_timeout_minutes": 5, "upscaling_speed": 1.0},
            "provider": {**provider, "disable_node_updaters": True, "disable_launch_config_check": True},
            "head_node_type": "ray.head.default",
            "available_node_types": {
                "ray.head.default": {**kind, "resources": {"CPU": 0}, "max_workers": 0},
                "worker": {**kind, "resources": {"CPU": 1}},
            },
            **{"auth": {}, "file_mounts": {}, "cluster_synced_files": [], "setup_commands": []},
            **{"initialization_commands": [], "head_setup_commands": [], "worker_setup_commands": []},
            **{"head_start_ray_commands": [], "worker_start_ray_commands": []},
        }
        path = self.folder / "autoscaler.json"
        path.write_text(json.dumps(settings))
        return path

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"node-{len(self.running)}.log"
        agent = f"--dashboard-agent-listen-port={free_port()}"
        command = ["ray", "start", *OPTIONS, agent, *options]
        with log.open("wb") as file:
            process = subprocess.Popen(command, env=self.env, stdout=file, stderr=subprocess.STDOUT)
        self.running.append(process)

        def started() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended\n{log.read_text()}")
            return "Ray runtime started" in log.read_text()

        try:
            wait_until(started, f"{log} says that Ray runtime started")
        except TimeoutError as error:
            states = [other.poll() for other in self.running]
            raise RuntimeError(f"{' '.join(command)}; nodes' exit statuses {states}\n{log.read_text()}") from error
        return process


@contextmanager
def machines(*, cpus: int = 1, grows_to: int = 0, **env: str) -> Iterator[Machines]:
    """Start a head with `cpus`; whatever happens, all that was started is killed. `env` goes to every node.

    With `grows_to` the head starts so many machines at most, each with one CPU, as they are asked for.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(
        prefix="r-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:  # sockets need a short path
        cluster = Machines(Path(folder), environment(RAY_TMPDIR=folder, **(GROWING if grows_to else {}), **env))
        try:
            cluster.start_head(cpus, grows_to)
            yield cluster
        finally:
            for process in reversed(cluster.running):
                kill_tree(process.pid)
