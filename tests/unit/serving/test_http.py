"""The door of the server: limits are kept, and whatever is wrong is said as JSON with the status that fits."""

import asyncio
import json
from dataclasses import replace

import pytest
from starlette.requests import Request

from mixste.errors import MixsteError
from pipelines.serve import chosen
from pipelines.serving.http import Door

KIND = ((b"content-type", b"application/json; charset=utf-8"),)


@pytest.fixture
def settings(workplace):
    return chosen(["megabytes=0.5", "at_once=1", "waiting=1"]).serve


async def echo(body, deadline):
    return body


def ask(door, *chunks, path="/invocations", method="POST", headers=KIND):
    """Status and JSON of a request whose body comes in chunks; a chunk that is None never comes, "cut" hangs up."""

    async def asked():
        waiting = iter(chunks)

        async def receive():
            chunk = next(waiting, b"")
            if chunk is None:
                await asyncio.sleep(60)
            if chunk == "cut":
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunk, "more_body": chunk != b""}

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": headers,
            "query_string": b"",
            "root_path": "",
        }
        return await door(Request(scope, receive))

    response = asyncio.run(asked())
    assert response.media_type == "application/json"
    return response.status_code, json.loads(response.body)


def test_a_request_gets_what_lift_makes_of_its_whole_body(settings):
    assert ask(Door(echo, {}, settings), b'{"a":', b" 1}") == (200, {"a": 1})


@pytest.mark.parametrize("path", ["/health", "/ping", "/health/"])
def test_health_says_who_answers(settings, path):
    assert ask(Door(echo, {"model": "m"}, settings), path=path, method="GET") == (200, {"model": "m"})


def length(size):
    return (*KIND, (b"content-length", str(size).encode()))


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ({"path": "/else"}, 404, "found: /else; expected: POST /invocations"),
        ({"method": "GET"}, 405, "found: GET; expected: POST"),
        ({"path": "/health"}, 405, "found: POST; expected: GET or HEAD"),
        ({"headers": ()}, 415, "send the header Content-Type: application/json"),
        ({"headers": ((b"content-type", b"text/csv"),)}, 415, "found: text/csv"),
        ({"headers": length(5 * 2**20)}, 413, "found: 5.0 MiB or more; expected: at most 0.5 MiB"),
        ({"chunks": (b"x" * 300_000, b"x" * 300_000)}, 413, "too large"),
        ({"headers": length("²"), "chunks": (b"x" * 600_000,)}, 413, "too large"),
        ({"chunks": (b"x", "cut")}, 400, "ended too early"),
    ],
)
def test_what_is_not_let_in_is_told_why(settings, request_, status, message):
    chunks = request_.pop("chunks", ())
    given, error = ask(Door(echo, {}, settings), *chunks, **request_)
    assert given == status
    assert message in error["message"]
    assert error["error_code"]
    assert error["what"]


async def refuses(body, deadline):
    raise MixsteError("cannot lift", found="x", expected="y", mend="z")


async def breaks(body, deadline):
    raise ZeroDivisionError("secret")


async def late(body, deadline):
    raise TimeoutError


@pytest.mark.parametrize(
    ("lift", "status", "code"),
    [(refuses, 400, "BAD_REQUEST"), (breaks, 500, "INTERNAL_ERROR"), (late, 504, "DEADLINE_EXCEEDED")],
)
def test_what_goes_wrong_inside_has_its_status_and_frees_its_place(settings, lift, status, code, caplog):
    door = Door(lift, {}, settings)
    for _ in range(3):  # more than there are places
        given, error = ask(door, b"{}")
        assert (given, error["error_code"]) == (status, code)
        assert "secret" not in json.dumps(error)
    if lift is refuses:
        assert (error["what"], error["found"], error["expected"], error["mend"]) == ("cannot lift", "x", "y", "z")


def test_a_body_that_does_not_come_in_time_is_not_waited_for(settings):
    status, error = ask(Door(echo, {}, replace(settings, seconds=0.05)), b"x", None)
    assert status == 408
    assert "body did not come; expected: all of it within 0.05 seconds" in error["message"]


def test_a_lifting_that_nobody_waits_for_any_longer_is_told_to_stop(settings):
    deadlines = []

    async def kept(body, deadline):
        deadlines.append(deadline)
        await asyncio.sleep(60)

    assert ask(Door(kept, {}, replace(settings, seconds=1)), b"{}")[0] == 504
    with pytest.raises(TimeoutError):
        deadlines[0]()


def test_more_requests_than_there_is_room_for_are_refused_at_once(settings):
    async def together():
        go = asyncio.Event()

        async def waits(body, deadline):
            await go.wait()
            return b"{}"

        door = Door(waits, {}, settings)
        scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": KIND, "query_string": b""}

        async def receive():
            return {"type": "http.request", "body": b"{}"}

        inside = [asyncio.create_task(door(Request(scope, receive))) for _ in range(2)]
        await asyncio.sleep(0)  # both are inside
        refused = await door(Request(scope, receive))
        go.set()
        return refused, [response.status_code for response in await asyncio.gather(*inside)]

    refused, others = asyncio.run(together())
    assert refused.status_code == 503
    assert "found: 2 others; to mend it: try again later" in json.loads(refused.body)["message"]
    assert others == [200, 200]
