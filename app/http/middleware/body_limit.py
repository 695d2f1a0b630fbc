"""Refuses a body that is too large with 413: at once by its Content-Length, else after the first byte over the limit.

The refusal is sent at once. Then a bounded part of the rest is read and dropped: a client whose connection is cut
while it still sends often never sees the answer.
"""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_S = 2.0


class BodyLimitMiddleware:
    """`limit_for(content type)` is the most bytes that a body of this type may have."""

    def __init__(self, app: ASGIApp, limit_for: Callable[[str], int]) -> None:
        self._app = app
        self._limit_for = limit_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        body = _Body(scope, receive, send, self._limit_for(Headers(scope=scope).get("content-type", "")))
        return await self._app(scope, body.receive, body.send)


class _Body:
    """Counts the bytes of one request's body."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._announced = _content_length(scope)
        self._read = 0
        self._more = True
        self._refused = False

    async def receive(self) -> Message:
        if self._announced > self._limit:
            raise self._refusal()
        message = await self._receive()
        self._read += len(message.get("body", b""))
        self._more = message.get("more_body", False)
        if self._read > self._limit:
            raise self._refusal()
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

    def _refusal(self) -> HTTPException:
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
