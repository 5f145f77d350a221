"""`benchmarks.load`: an answer that is not what it must be is counted as wrong, whatever it is."""

import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.load import Sent, complaints, measure

JOINTS = np.arange(12.0).reshape(2, 2, 3)
RIGHT = {200: json.dumps({"predictions": {"joints": JOINTS.tolist()}}), 400: json.dumps({"message": "no"})}


class Answers(BaseHTTPRequestHandler):
    """Answers `good` with 200 and all else with 400, as `answers` says."""

    answers: dict[int, str] = {}  # noqa: RUF012

    def do_POST(self):
        status = 200 if self.rfile.read(int(self.headers["Content-Length"])) == b"good" else 400
        self.send_response(status)
        self.end_headers()
        self.wfile.write(self.answers[status].encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    with HTTPServer(("127.0.0.1", 0), Answers) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield SimpleNamespace(address=f"http://127.0.0.1:{listening.server_port}", memory=lambda: 1.0)
        listening.shutdown()
        thread.join()


def measured(server, monkeypatch, answers):
    """What came of a client's some ten requests: its clock is one that counts how often it is read."""
    monkeypatch.setattr(Answers, "answers", answers)
    monkeypatch.setattr("benchmarks.load.time", SimpleNamespace(monotonic=itertools.count().__next__))
    return measure(server, 1, 30, [Sent("good", b"good", 200, JOINTS)], [Sent("bad", b"bad")])


def test_right_answers_are_counted_and_nobody_complains(server, monkeypatch):
    level = measured(server, monkeypatch, RIGHT)
    assert level.latencies
    assert level.refused["bad"]
    assert complaints([level]) == []


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        *[(200, answer) for answer in ("<html>busy</html>", "", "[]", "{}", '{"predictions": [1]}')],
        *[
            (200, json.dumps({"predictions": {"joints": joints}}))
            for joints in (None, [[1], [2, 3]], [], (-JOINTS).tolist())
        ],
        *[(400, answer) for answer in ("<html>Bad Request</html>", "", "5", "{}", '"a message"')],
    ],
)
def test_an_answer_of_the_right_status_that_is_no_json_or_says_something_else_is_wrong(
    server, monkeypatch, status, answer
):
    level = measured(server, monkeypatch, {**RIGHT, status: answer})
    name = "good" if status == 200 else "bad"
    assert {text.partition(":")[0] for text in level.wrong} == {name}
    assert (bool(level.latencies), bool(level.refused)) == (status != 200, status != 400)
    assert any(f"{name}: {status}" in text for text in complaints([level]))
