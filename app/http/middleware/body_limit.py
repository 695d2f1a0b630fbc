"""Refuses a body that is too large with 413, and one that comes too slowly with 408.

A body is too large by its Content-Length, or else from the first byte over the limit. It is too slow after
`BODY_TIMEOUT_S` seconds of waiting for it, and one second more for each `MIN_BYTES_PER_S` that came. Time that we spend
ourselves is not counted.

The refusal is sent at once. Then a bounded part of the rest is read and dropped: a client whose connection is cut
while it still sends often never sees the answer.
"""

import asyncio
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_S = 2.0

BODY_TIMEOUT_S = 20.0

MIN_BYTES_PER_S = 8 << 10
"""Less than a mobile phone sends over the worst connection that is of use. 20 MB may take 43 minutes."""


class BodyLimitMiddleware:
    """`limit_for(scope)` is the most bytes that the body of this request may have.

    No route reads the body of a GET. While it is answered, the server drops what comes.
    """

    def __init__(self, app: ASGIApp, limit_for: Callable[[Scope], int], *, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._app = app
        self._limit_for = limit_for
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            return await self._app(scope, receive, send)
        body = _Body(scope, receive, send, self._limit_for(scope), self._timeout_s)
        return await self._app(scope, body.receive, body.send)


class _Body:
    """Counts the bytes of one request's body, and the seconds that it makes us wait."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int, timeout_s: float) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._timeout_s = timeout_s
        self._waited_s = 0.0
        self._announced = _content_length(scope)
        self._read = 0
        self._more = True
        self._refused = False

    async def receive(self) -> Message:
        if not self._more:
            return await self._receive()  # which tells that the client went away
        if self._announced > self._limit:
            raise self._too_large()
        message = await self._receive_in_time()
        self._read += len(message.get("body", b""))
        self._more = message.get("more_body", False)
        if self._read > self._limit:
            raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        if not self._refused:
            return await self._send(message)
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Connection"] = "close"
            return await self._send(message)
        await self._send({**message, "more_body": True})
        await self._drop_rest()
        return await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _receive_in_time(self) -> Message:
        began = time.monotonic()
        left_s = self._timeout_s + self._read / MIN_BYTES_PER_S - self._waited_s
        try:
            async with asyncio.timeout(left_s):
                return await self._receive()
        except TimeoutError:
            self._refused = True
            sentence = (
                f"The request's body came too slowly: {self._read:,} bytes after {self._waited_s + left_s:.0f} s."
            )
            raise HTTPException(408, f"{sentence} Send it again, over a better connection.") from None
        finally:
            self._waited_s += time.monotonic() - began

    def _too_large(self) -> HTTPException:
        self._refused = True
        return HTTPException(413, f"The request's body is larger than the {self._limit:,} bytes that are accepted.")

    async def _drop_rest(self) -> None:
        """Read and drop up to the limit once more, for `LINGER_S` at most."""
        left = self._limit
        try:
            async with asyncio.timeout(LINGER_S):
                while left > 0 and self._more:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    self._more = message.get("more_body", False)
        except TimeoutError:
            return


def _content_length(scope: Scope) -> int:
    announced = Headers(scope=scope).get("content-length", "")
    return int(announced) if announced.isascii() and announced.isdigit() else 0
