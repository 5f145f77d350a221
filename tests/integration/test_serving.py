"""Servers: what is posted comes back as `Lifter.lift` gives it, what is wrong as a 4xx that says why, side by side."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import requests

from benchmarks.drills.registry.folders import write_evaluation, write_model, write_rig
from benchmarks.servers import Server, started
from mixste.lifter import Lifter
from mixste.registry import CHAMPION
from pipelines import register
from pipelines.params import write
from tests.unit.lifters import SIZE, person

PARAMS = {"skeleton": "coco17", "fps": 30, "image_size": SIZE}
SERVERS = {"mlflow": (), "ray": ("megabytes=1", "at_once=4")}
BAD = {
    "no JSON": (b"keypoints", {}, "JSON"),
    "truncated": (b'{"inputs": [[[1, 2', {}, "JSON"),
    "another layout": (None, {"skeleton": "body25"}, "25 joints of body25"),
    "an unknown layout": (
        None,
        {"skeleton": "squid"},
        "params cannot be used; found: skeleton: 'squid'; expected: skeleton: one of ",
    ),
    "no frame rate": (None, {"fps": None}, "fps: a value: the key is missing"),
    "a frame rate of 0": (None, {"fps": 0}, "found: fps 0.0; expected: 1 to 1000 frames per second"),
    "no image size": (None, {"image_size": None}, "image_size: a value: the key is missing"),
    "ragged": (
        json.dumps({"inputs": [[[1, 2], [3]]], "params": PARAMS}).encode(),
        {},
        "inputs are no array of numbers",
    ),
    "nobody": (np.full((5, 17, 3), np.nan), {}, "nothing to lift"),
    "normalised": (np.full((5, 17, 3), 0.5), {}, "look normalised, not pixels"),
}


def body(keypoints: np.ndarray, **params: object) -> bytes:
    given = {name: value for name, value in {**PARAMS, **params}.items() if value is not None}
    return json.dumps({"inputs": keypoints.tolist(), "params": given}).encode()


def post(address: str, sent: bytes) -> requests.Response:
    kind = {"Content-Type": "application/json"}
    return requests.post(f"{address}/invocations", data=sent, headers=kind, timeout=60)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[dict[str, Server]]:
    """Both servers of one registered champion, started beside each other."""
    place = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patched, ExitStack() as running:
        patched.chdir(place)
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        (place / "mlflow.db").write_bytes(empty_store.read_bytes())
        (place / "conf").symlink_to(Path(__file__).parents[2] / "conf")
        params = write(["model=tiny", "model.width=8", "model.depth=1"])
        write_rig(params)
        write_model(params, seed=1)
        write_evaluation(np.linspace(49, 51, 8))
        register.main()
        begun = [running.enter_context(started(kind, CHAMPION, *options)) for kind, options in SERVERS.items()]
        for server in begun:
            server.ready()
        yield {server.kind: server for server in begun}


@pytest.fixture(params=SERVERS)
def address(request: pytest.FixtureRequest, servers: dict[str, Server]) -> str:
    return servers[request.param].address


@pytest.fixture(scope="module")
def lifter(servers: dict[str, Server]) -> Lifter:
    return Lifter.load("models/finetuned")


@pytest.mark.slow
def test_a_request_is_answered_as_the_lifter_does_though_others_beside_it_are_wrong(address: str, lifter: Lifter):
    clips = [person(frames, fps=30, skeleton="coco17", seed=frames) for frames in (1, 4, 40, 150)]
    clips[2][3:5, 7] = np.nan
    sent = [*(body(clip) for clip in clips), *wrong(clips[2])]
    with ThreadPoolExecutor(len(sent)) as threads:
        got = list(threads.map(post, [address] * len(sent), sent))
    for clip, response in zip(clips, got, strict=False):
        expected = lifter.lift(clip, **PARAMS)
        answer = response.json()["predictions"]
        np.testing.assert_allclose(answer.pop("joints"), expected.joints, atol=2e-6)
        assert answer.pop("joint_names")[0] == "hip"
        assert answer.pop("report") == list(expected.report)
        same = ("skeleton", "fps", "unit", "frame", "rooted")
        assert answer == {name: getattr(expected, name) for name in same}
    for (name, (*_, message)), response in zip(BAD.items(), got[len(clips) :], strict=True):
        assert response.status_code == 400, name
        assert message in response.json()["message"], name
        assert "Traceback" not in response.text, name


def wrong(clip: np.ndarray) -> list[bytes]:
    return [
        given if isinstance(given, bytes) else body(clip if given is None else given, **params)
        for given, params, _ in BAD.values()
    ]


@pytest.mark.slow
def test_flip_and_threshold_are_the_requests_own(address: str, lifter: Lifter):
    clip = person(20, fps=50, skeleton="h36m17", seed=1)
    clip[5:8, 3, 2] = 0.3
    given = {"skeleton": "h36m17", "fps": 50, "image_size": SIZE, "threshold": 0.5}
    answer = post(address, body(clip, **given, flip=False)).json()["predictions"]
    expected = Lifter.load("models/finetuned", flip=False).lift(clip, **given)
    np.testing.assert_allclose(answer["joints"], expected.joints, atol=2e-6)
    assert "3 keypoints with confidence below 0.5 are taken as missing." in answer["report"]


@pytest.mark.slow
def test_ray_refuses_what_is_too_large_or_not_asked_for_and_says_who_it_is(servers: dict[str, Server]):
    address = servers["ray"].address
    assert requests.get(f"{address}/health", timeout=5).json() == {
        "model": "models:/mixste/1", "skeleton": "h36m17", "fps": 50.0, "unit": "m"
    }  # fmt: skip
    large = post(address, b" " * (3 * 2**20))
    assert (large.status_code, large.json()["error_code"]) == (413, "BODY_TOO_LARGE")
    assert requests.get(f"{address}/else", timeout=5).status_code == 404
    port = int(address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as cut:
        cut.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
    assert post(address, body(person(4, fps=30, skeleton="coco17"))).ok


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "unkept"), [("mlflow", 0), ("ray", 1)])
def test_no_other_machine_reaches_them(servers: dict[str, Server], kind: str, unkept: int):
    """Ray Serve opens a port of each replica, for other parts of an application, on every interface."""
    assert servers[kind].exposed() == ([], unkept)
