"""One log line a request: method, path, status, time. Probes are only logged when somebody debugs."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

QUIET_PREFIX = "/health/"


class AccessLogMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = time.perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            return await self._app(scope, receive, send_and_note)
        finally:
            level = logging.DEBUG if scope["path"].startswith(QUIET_PREFIX) and status < 500 else logging.INFO
            took_ms = (time.perf_counter() - started) * 1000
            log.log(level, "%s %s %d %.1f ms", scope["method"], _printable(scope["path"]), status, took_ms)


def _printable(path: str) -> str:
    """Without line breaks and escapes, which would forge log lines."""
    return path.encode("unicode_escape").decode()
