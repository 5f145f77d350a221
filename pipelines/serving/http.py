"""Requests over HTTP, apart from any server: limits, and every error as JSON that says what was wrong."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mixste.errors import MixsteError
from mixste.payload import FORM, Deadline, refusal
from pipelines.settings import ServeSettings

Lift = Callable[[bytes, Deadline], Awaitable[bytes]]
INVOCATIONS, HEALTH = "/invocations", ("/health", "/ping")  # as MLflow's server has them
_JSON = "application/json"
_CODES = {  # as MLflow names them, where it has a name
    400: "BAD_REQUEST",
    404: "ENDPOINT_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "BODY_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
log = logging.getLogger(__name__)


class RefusedError(Exception):
    """A request that is not answered, with the HTTP status and what there is to say."""

    def __init__(self, status: int, what: str, **parts: Any) -> None:
        self.status, self.error = status, MixsteError(what, **parts)
        super().__init__(str(self.error))


class Door:
    """Lets requests in, at most so many at once, and answers them with `lift`'s bytes; `about` is who answers."""

    def __init__(self, lift: Lift, about: Mapping[str, Any], settings: ServeSettings) -> None:
        self._lift, self._settings = lift, settings
        self._about = json.dumps(about).encode()
        self._inside = 0

    async def __call__(self, request: Request) -> Response:
        """Answer a request, whatever it is."""
        try:
            return Response(await self._answered(request), media_type=_JSON)
        except RefusedError as refused:
            return _refused(refused.status, refused.error)
        except MixsteError as error:
            return _refused(400, error)
        except Exception:
            log.exception("a request failed")
            return _refused(500, MixsteError("the server failed at this request", mend="its log says why"))

    async def _answered(self, request: Request) -> bytes:
        path, method = request.url.path.rstrip("/"), request.method
        if path in HEALTH:
            _allow(method, "GET", "HEAD")
            return self._about
        if path != INVOCATIONS:
            expected = f"POST {INVOCATIONS} or GET {' or '.join(HEALTH)}"
            raise RefusedError(404, "there is nothing at this address", found=request.url.path, expected=expected)
        _allow(method, "POST")
        _check_kind(request.headers.get("content-type", ""))
        return await self._lifted(request)

    async def _lifted(self, request: Request) -> bytes:
        settings = self._settings
        most = settings.at_once + settings.waiting
        if self._inside >= most:
            raise RefusedError(503, "too many requests at once", found=f"{most} others", mend="try again later")
        deadline = Deadline(settings.seconds)
        self._inside += 1
        try:
            body = await self._body(request, deadline)
            return await asyncio.wait_for(self._lift(body, deadline), deadline.left)
        except TimeoutError:
            expected = f"at most {settings.seconds:g} seconds"
            raise RefusedError(504, "this takes too long", expected=expected, mend="send fewer frames") from None
        finally:
            deadline.stopped = True
            self._inside -= 1

    async def _body(self, request: Request, deadline: Deadline) -> bytes:
        try:
            return await asyncio.wait_for(_read(request, int(self._settings.megabytes * 2**20)), deadline.left)
        except TimeoutError:
            expected = f"all of it within {self._settings.seconds:g} seconds"
            raise RefusedError(408, "the request's body did not come", expected=expected) from None
        except ClientDisconnect:
            raise RefusedError(400, "the request's body ended too early") from None


async def _read(request: Request, most: int) -> bytes:
    if _length(request) > most:
        raise _too_large(_length(request), most)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _too_large(len(body), most)
    return bytes(body)


def _length(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() else 0


def _too_large(size: int, most: int) -> RefusedError:
    found, expected = f"{size / 2**20:.1f} MiB or more", f"at most {most / 2**20:g} MiB"
    return RefusedError(413, "the request's body is too large", found=found, expected=expected, mend="send parts of it")


def _allow(method: str, *methods: str) -> None:
    if method not in methods:
        raise RefusedError(405, "this address is not asked so", found=method, expected=" or ".join(methods))


def _check_kind(kind: str) -> None:
    if kind.partition(";")[0].strip().lower() != _JSON:
        found, mend = kind or "no Content-Type", f"send the header Content-Type: {_JSON}"
        raise RefusedError(415, "the request's body is not said to be JSON", found=found, expected=FORM, mend=mend)


def _refused(status: int, error: MixsteError) -> Response:
    return Response(json.dumps(refusal(_CODES[status], error)), status_code=status, media_type=_JSON)
