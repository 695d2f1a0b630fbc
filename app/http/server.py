"""How uvicorn serves the app: its options, and limits for clients that send or read too slowly, or without end.

Without them a request's head may be of any length and take any time, and an answer waits for ever for a client that
does not read it. `LimitedProtocol` limits what the app never sees; `middleware/body_limit.py` limits bodies, under any
server. docs/adr/0009-slow-clients.md says why it is done here.
"""

import asyncio
import json
import logging
from http import HTTPStatus
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.http.problems import MEDIA_TYPE, TYPE_PREFIX

log = logging.getLogger(__name__)

DRAIN_S = 8
"""Seconds that running requests get to end when the service is told to stop. Containers are killed after ten."""

MAX_HEAD_BYTES = 64 << 10
"""Request line and headers, or the trailers of a chunked body. Other servers take 8 to 64 kB."""


class _HeadTooLargeError(Exception):
    """Stops the parser."""


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which closes connections that reach a limit.

    One timer for each connection looks at it every `check_s` seconds, so a request costs no timer.
    """

    head_timeout_s = 20.0
    """How long a connection may be open, or a request's head take, before the request can be answered."""

    answer_timeout_s = 60.0
    """How long a client may read nothing of what waits for it."""

    check_s = 2.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._undelivered_bytes = 0
        self._head_began = self._unsent_since = self.loop.time()
        self._unsent_bytes = 0
        self._timer = self.loop.call_later(self.check_s, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._undelivered_bytes += len(data)
        super().data_received(data)
        if self._undelivered_bytes > MAX_HEAD_BYTES:
            self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_began = self.loop.time()

    def on_headers_complete(self) -> None:
        if self._undelivered_bytes > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            raise _HeadTooLargeError
        self._undelivered_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._undelivered_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._undelivered_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._head_began = self.loop.time()
        super().on_response_complete()

    def shutdown(self) -> None:
        """The service is told to stop. Work that would keep this connection open is asked to end."""
        if begin_stop := self.app_state.get("begin_stop"):
            begin_stop()
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls it when the parser fails, which a head that is too large makes it do."""
        if self._undelivered_bytes > MAX_HEAD_BYTES:
            return self._refuse_head()
        return self._refuse(HTTPStatus.BAD_REQUEST, f"{msg} Speak HTTP/1.1.")

    def _unsupported_upgrade_warning(self) -> None:
        """A request to speak another protocol is answered as HTTP, as it may be. Any client can make it."""

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse_head(self) -> None:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self._refuse(status, f"The request line and the headers have more than {MAX_HEAD_BYTES:,} bytes.")

    def _check(self) -> None:
        self._timer = self.loop.call_later(self.check_s, self._check)
        now = self.loop.time()
        if not self._owes_answer() and now - self._head_began >= self.head_timeout_s:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"No whole request came within {self.head_timeout_s:g} s.")
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes == 0 or unsent_bytes != self._unsent_bytes:
            self._unsent_bytes, self._unsent_since = unsent_bytes, now
        elif now - self._unsent_since >= self.answer_timeout_s:
            log.info("Closed a connection: its client read nothing for %g s.", self.answer_timeout_s)
            self.transport.abort()

    def _owes_answer(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer, unless another answer is under way, and close the connection."""
        if self.transport.is_closing():
            return
        log.info("Closed a connection: %s", detail)
        if self._owes_answer():
            self.transport.abort()
            return
        if self.scope is not None or self._undelivered_bytes:
            self.transport.write(_answer(status, detail))
        self.transport.close()


def _answer(status: HTTPStatus, detail: str) -> bytes:
    """A whole HTTP answer with a problem document. It has no request id: no request came to the app."""
    name = status.phrase.lower().replace(" ", "-")
    document = {"type": TYPE_PREFIX + name, "title": status.phrase, "status": status.value, "detail": detail}
    body = json.dumps(document)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join([*head, "", body]).encode("ascii")


def server_config(app: ASGIApp, **options: Any) -> uvicorn.Config:
    """uvicorn's options for the service. `options` replace them."""
    ours: dict[str, Any] = {
        "http": LimitedProtocol,
        "proxy_headers": False,  # middleware/public_address.py believes the proxies that our settings name
        "ws": "none",  # there are no WebSockets here, and a half-sent handshake would be another thing to limit
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": DRAIN_S,
    }
    return uvicorn.Config(app, **{**ours, **options})
