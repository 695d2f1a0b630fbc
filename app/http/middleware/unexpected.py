"""The last resort: a bug in a route is logged with its traceback, and answered without it.

Starlette would answer too, but then raise the error again, and the server would cut the connection.
"""

import logging
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)


class UnexpectedErrorMiddleware:
    """`answer` makes the response. If a response has begun, the error is raised on and the connection ends."""

    def __init__(self, app: ASGIApp, answer: Callable[[Request], Response]) -> None:
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            return await self._app(scope, receive, send_and_note)
        except Exception:
            if started:
                raise
            log.exception("An unexpected error in %s", scope["method"])
            return await self._answer(Request(scope))(scope, receive, send)
