"""Refuses bodies that are too large while they arrive: 413 after the first byte too many, or at once by their header.

The refusal is sent right away; then a bounded rest of the body is read and dropped, because a client whose connection
is cut while it still sends often never sees the answer.
"""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_S = 2.0


class BodyLimitMiddleware:
    """`limit_for(content type)` says how many bytes a body of that type may have."""

    def __init__(self, app: ASGIApp, limit_for: Callable[[str], int]) -> None:
        self._app = app
        self._limit_for = limit_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        body = _Body(scope, receive, send, self._limit_for(Headers(scope=scope).get("content-type", "")))
        return await self._app(scope, body.receive, body.send)


class _Body:
    """Counts one request's body."""

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
        """As many bytes again as were allowed, for a short while."""
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
