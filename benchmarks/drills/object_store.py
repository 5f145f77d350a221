"""A real S3 server in this machine (moto), and a line to it that can be cut while what is stored stays."""

import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import requests

from benchmarks.drills.checkout import environment
from benchmarks.drills.machines import free_port, kill_tree, wait_until

BUCKET = "mixste"
KEYS = {
    "AWS_ACCESS_KEY_ID": "drill",
    "AWS_SECRET_ACCESS_KEY": "drill",
    "AWS_EC2_METADATA_DISABLED": "true",  # nobody is asked for other keys
}


@dataclass
class Line:
    """Forwards connections of a port to another one until it is cut; it can be mended again."""

    target: int
    port: int = field(default_factory=free_port)
    listener: socket.socket | None = None
    open: list[socket.socket] = field(default_factory=list)

    def mend(self) -> None:
        """Listen, and forward whoever comes."""
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def cut(self) -> None:
        """Refuse every connection from now on, and end those that are open."""
        if self.listener is not None:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        for side in self.open:
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()
        self.open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                self.open += [client, server]
                threading.Thread(target=_forward, args=(client, server), daemon=True).start()


def _forward(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError, ValueError), client, server:
        while True:
            ready, _, _ = select.select([client, server], [], [])
            for side in ready:
                data = side.recv(1 << 16)
                if not data:
                    return
                (server if side is client else client).sendall(data)


@dataclass
class ObjectStore:
    """The server, and where it is reached."""

    process: subprocess.Popen[bytes]
    line: Line

    def uri(self, bucket: str = BUCKET) -> str:
        """What cluster.storage is set to."""
        endpoint = f"endpoint_override=127.0.0.1:{self.line.port}&scheme=http&region=us-east-1"
        return f"s3://{bucket}/trainings?{endpoint}"

    def freeze(self) -> None:
        """Accept connections, and never answer."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Answer again."""
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def object_store(*, refusing: bool = False) -> Iterator[ObjectStore]:
    """Start the server with an empty bucket; with `refusing`, it knows nobody's keys."""
    port = free_port()
    auth = {"INITIAL_NO_AUTH_ACTION_COUNT": "1"} if refusing else {}
    process = subprocess.Popen(
        (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)),
        env=environment(**auth),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    line = Line(port)
    try:
        wait_until(lambda: _answers(port), "moto answers")
        requests.put(f"http://127.0.0.1:{port}/{BUCKET}", timeout=30).raise_for_status()
        line.mend()
        yield ObjectStore(process, line)
    finally:
        line.cut()
        kill_tree(process.pid)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        time.sleep(0.2)
        return False
    return True
