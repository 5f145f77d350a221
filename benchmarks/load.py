"""How fast the servers answer, and whether they stay whole: good requests from many clients, malformed ones mixed in.

    python -m benchmarks.load [--server ray mlflow] [--model models:/NAME@ALIAS] [--clients 1 4] [--ray replicas=2]

Run it where the model is known. Each client waits for an answer before it sends again. Latencies are those of good
requests, whose answers are compared with `Lifter.lift`'s. Prints a Markdown table, writes JSON with --output. Exit
status 1 if a good request was not answered rightly, a malformed one not by its status, or memory grew by a tenth.
"""

import argparse
import itertools
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from benchmarks.servers import COMMANDS, Server, started
from mixste.lifter import Lifter

SKELETON, JOINTS, FPS, SIZE = "coco17", 17, 30, (1920, 1080)
PARAMS = {"skeleton": SKELETON, "fps": FPS, "image_size": SIZE}
EVERY = 4  # the request of a client that is malformed
MIB = 2**20
CUT = 0  # the status of a request that is broken off, so that nobody is there to be answered
_TOLERANCE = 1e-5  # of joints, metres: other requests in a batch change the last bits


@dataclass(frozen=True)
class Sent:
    """A request's body, the status that it must be answered with, and of a good one the joints."""

    name: str
    body: bytes
    status: int = 400
    joints: np.ndarray | None = None


@dataclass
class Level:
    """What came of so many clients within some seconds; latencies in seconds, memory in MiB."""

    clients: int
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    frames: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: float = 0.0

    def row(self) -> str:
        """Return it as a line of the table."""
        p50, p95, p99 = np.percentile(self.latencies, [50, 95, 99]) * 1000 if self.latencies else [np.nan] * 3
        rates = f"{len(self.latencies) / self.seconds:.1f} | {self.frames / self.seconds:,.0f}"
        counts = f"{len(self.latencies)} | {sum(self.refused.values())} | {len(self.wrong)}"
        return f"| {self.clients} | {p50:.0f} | {p95:.0f} | {p99:.0f} | {rates} | {counts} | {self.memory:.0f} |"


HEAD = (
    "| clients | p50 ms | p95 ms | p99 ms | clips/s | frames/s | good | refused | wrong | replica MiB |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def clip(frames: int, seed: int) -> np.ndarray:
    """Keypoints `t j 3` that swing about places in the middle of the image."""
    rng = np.random.default_rng(seed)
    places, phases = rng.uniform(300, 780, (JOINTS, 2)), rng.uniform(0, 6, (JOINTS, 2))
    xy = places + 30 * np.sin(2 * np.pi * np.arange(frames)[:, None, None] / FPS + phases)
    return np.concatenate([xy.round(1), np.ones((frames, JOINTS, 1))], axis=-1)


def body(keypoints: np.ndarray, **params: object) -> bytes:
    """A request's JSON."""
    return json.dumps({"inputs": keypoints.tolist(), "params": {**PARAMS, **params}}).encode()


def good(lifter: Lifter, frames: int) -> list[Sent]:
    """Requests of half as many frames to half as many again, with the answers."""
    clips = [clip(int(length), seed) for seed, length in enumerate(np.linspace(frames / 2, 3 * frames / 2, 8))]
    return [Sent("good", body(one), 200, lifter.lift(one, **PARAMS).joints) for one in clips]


def malformed(kind: str, frames: int) -> list[Sent]:
    """One of each kind; MLflow's server has no limit to a body's size."""
    right = clip(frames, 0)
    every = [
        Sent("no JSON", b"keypoints"),
        Sent("truncated", body(right)[:-1000]),
        Sent("broken off", body(right), CUT),
        Sent("a joint too few", body(right[:, 1:])),
        Sent("all NaN", body(right * np.nan)),
        Sent("unknown skeleton", body(right, skeleton="squid")),
        Sent("frame rate 0", body(right, fps=0)),
    ]
    return every + [Sent("too large", b" " * (33 * MIB), 413)] * (kind == "ray")


class Client:
    """A thread that sends one request after the other until it is time to stop."""

    def __init__(self, number: int, address: str, level: Level, right: Sequence[Sent], wrong: Sequence[Sent]) -> None:
        place = urlsplit(address)
        self._host, self._port = str(place.hostname), int(place.port or 80)
        self._level, self._requests = level, self._mixed(number, right, wrong)
        self._connection = HTTPConnection(self._host, self._port, timeout=120)

    @staticmethod
    def _mixed(number: int, right: Sequence[Sent], wrong: Sequence[Sent]) -> Iterator[Sent]:
        fine = itertools.cycle([*right[number % len(right) :], *right[: number % len(right)]])
        bad = itertools.cycle([*wrong[number % len(wrong) :], *wrong[: number % len(wrong)]])
        for count in itertools.count(number):
            yield next(bad) if count % EVERY == 0 else next(fine)

    def run(self, until: float) -> None:
        """Send until then; what is not as it must be is noted."""
        while time.monotonic() < until:
            sent = next(self._requests)
            begun = time.monotonic()
            try:
                status, answer = self._cut(sent) if sent.status == CUT else self._asked(sent)
            except (OSError, HTTPException) as error:
                self._connection.close()
                status, answer = -1, repr(error).encode()
            self._note(sent, status, answer, time.monotonic() - begun)
        self._connection.close()

    def _asked(self, sent: Sent) -> tuple[int, bytes]:
        self._connection.request("POST", "/invocations", sent.body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        return response.status, response.read()

    def _cut(self, sent: Sent) -> tuple[int, bytes]:
        head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(sent.body)}\r\n"
        with socket.create_connection((self._host, self._port)) as connection:
            connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + sent.body[:1000])
        return CUT, b"{}"

    def _note(self, sent: Sent, status: int, answer: bytes, seconds: float) -> None:
        if status != sent.status or not _right(sent, answer):
            self._level.wrong.append(f"{sent.name}: {status} {answer[:200]!r}")
        elif sent.joints is None:
            self._level.refused[sent.name] += 1
        else:
            self._level.latencies.append(seconds)
            self._level.frames += len(sent.joints)


def _right(sent: Sent, answer: bytes) -> bool:
    try:
        tree = json.loads(answer)
        if sent.joints is None:
            return sent.status == CUT or bool(tree["message"])
        joints = np.array(tree["predictions"]["joints"])
        return joints.shape == sent.joints.shape and bool(np.abs(joints - sent.joints).max() < _TOLERANCE)
    except (ValueError, KeyError, TypeError):  # no JSON, or JSON of something else
        return False


def measure(server: Server, clients: int, seconds: float, right: Sequence[Sent], wrong: Sequence[Sent]) -> Level:
    """Let so many clients ask for so many seconds, and for the answers that are then still to come."""
    level, begun = Level(clients), time.monotonic()
    each = [Client(number, server.address, level, right, wrong) for number in range(clients)]
    threads = [threading.Thread(target=client.run, args=(begun + seconds,)) for client in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    level.seconds, level.memory = time.monotonic() - begun, server.memory()
    return level


def measured(kind: str, options: argparse.Namespace, right: Sequence[Sent]) -> list[Level]:
    """Start a server, warm it up with the most clients, and measure it with each number of clients."""
    wrong, most = malformed(kind, options.frames), max(options.clients)
    with started(kind, options.model, *(options.ray if kind == "ray" else ())) as server:
        server.ready()
        levels = []
        for clients in (most, *options.clients):
            levels.append(measure(server, clients, options.seconds, right, wrong))
            sys.stderr.write(f"{kind}: {levels[-1].row()}\n")
        return levels


def complaints(levels: Sequence[Level]) -> list[str]:
    """What is not as it must be, in words; the first of the levels is the one that warmed the server up."""
    found = [f"{level.clients} clients: {text}" for level in levels for text in level.wrong]
    if not all(level.latencies for level in levels):
        found.append("nothing was answered")
    before, after = levels[0].memory, levels[-1].memory
    if after > 1.1 * before:
        found.append(f"the replica's memory grew from {before:.0f} to {after:.0f} MiB")
    return found


def main() -> None:
    """Print a table for each server; exit status 1 if one did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--server", nargs="+", choices=sorted(COMMANDS), default=["ray", "mlflow"])
    option("--model", default="models:/mixste@champion")
    option("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    option("--seconds", type=float, default=20)
    option("--ray", nargs="*", default=[], metavar="KEY=VALUE", help="keys of conf/serve, as replicas=2")
    option("--frames", type=int, default=100, help="of a clip, on average")
    option("--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    right = good(Lifter.load(options.model, device="auto"), options.frames)
    every = {kind: measured(kind, options, right) for kind in options.server}
    found = []
    for kind, levels in every.items():
        print("\n".join([f"\n{kind}: {options.model}, clips of {options.frames} frames at {FPS} fps", HEAD]))
        print("\n".join(level.row() for level in levels[1:]))
        grown = f"{levels[0].memory:.0f} MiB after the warm-up, {levels[-1].memory:.0f} at the end"
        print(f"\n{sum((level.refused for level in levels), Counter())!r}; replica {grown}")
        found += [f"{kind}: {text}" for text in complaints(levels)]
    if options.output:
        results = {kind: [vars(level) for level in levels] for kind, levels in every.items()}
        options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sys.stderr.write("".join(f"DOES NOT HOLD: {text}\n" for text in found[:20]))
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
