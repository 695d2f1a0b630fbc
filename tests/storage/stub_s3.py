"""An HTTP server that acts as a faulty S3: each test sets the replies to its requests."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Close the connection after this many bytes of the body; -1: without any reply."""
    waits: bool = False
    """Send nothing until the test is over."""
    raw: bytes | None = None
    """Send these bytes, instead of a reply in good HTTP, and then close the connection."""
    ends: Literal["close", "reset", "hang"] = "close"
    """What comes after `raw`."""


Answer = Callable[[Request], Reply]


def error(status: int, code: str) -> Reply:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>stub</Message></Error>".encode()
    return Reply(status, body, {"Content-Type": "application/xml"})


def etag_of(body: bytes) -> str:
    return f'"{md5(body, usedforsecurity=False).hexdigest()}"'


class StubS3:
    """Answers with `answer` and records the requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Answer = lambda request: Reply()
        self.over = threading.Event()
        self.url = ""

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with these, one each; a further request is an error in the test."""
        left = iter(replies)
        self.answer = lambda request: next(left)

    def sent(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]


@contextmanager
def running_stub() -> Iterator[StubS3]:
    stub = StubS3()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            stub.requests.append(request)
            self.reply(stub.answer(request))

        def reply(self, reply: Reply) -> None:
            if reply.raw is not None:
                self.reply_raw(reply.raw, reply.ends)
                return
            if reply.waits:
                stub.over.wait(30)
            if reply.waits or reply.cut_after == -1:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: reply.cut_after])
            self.close_connection = reply.cut_after is not None

        def reply_raw(self, raw: bytes, ends: str) -> None:
            self.close_connection = True
            self.wfile.write(raw)
            if ends == "hang":
                stub.over.wait(30)
            if ends == "reset":  # closing without lingering sends RST
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        stub.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
