"""The log: its set-up, the request's id in each line, and one line for each request.

Probes are logged at debug level only.
"""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.problems import current_request_id
from app.printable import PrintableFormatter, printable

log = logging.getLogger(__name__)

QUIET_PREFIX = "/health/"


def configure_logging(level: str) -> None:
    """Log our own packages at `level`, with the request's id in each line. Our access log replaces uvicorn's."""
    handler = logging.StreamHandler()
    handler.addFilter(_add_request_id)
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line shows them
    logging.getLogger("app").setLevel(level.upper())
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    for name in ("python_multipart", "asgi_correlation_id"):  # the client is told what is wrong with its request
        logging.getLogger(name).setLevel(logging.ERROR)


def _add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = current_request_id()
    return True


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
            log.log(level, "%s %s %d %.1f ms", scope["method"], printable(scope["path"]), status, took_ms)
