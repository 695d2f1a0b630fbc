"""Web servers on loopback that send what a test says, byte for byte, and a network that finds them at any address."""

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpcore2

from tests.support.service import DEADLINE_S

ELSEWHERE = "127.0.0.2"
"""An address on loopback that connections to it do not come from, as if it were another machine's."""


class Exchange(BaseHTTPRequestHandler):
    """One request, and the means to answer it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    site: "Site"

    def do_GET(self) -> None:
        self.site.requests.append((self.path, dict(self.headers)))
        self.close_connection = True
        try:
            self.site.answers.get(self.path.partition("?")[0], answer(b"", status=404))(self)
        except (BrokenPipeError, ConnectionResetError):
            self.site.left_early.append(self.path)

    def write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.site.sent_bytes += len(data)

    def log_message(self, *_: object) -> None:
        pass


Answer = Callable[[Exchange], None]


class Site:
    """A web server: what it answers by path, and what it was asked."""

    def __init__(self, address: str, port: int) -> None:
        self.address, self.port = address, port
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.left_early: list[str] = []
        """Paths whose client closed the connection before it had all."""
        self.sent_bytes = 0
        self.names: list[str | None] = []
        """The names that TLS clients asked for (SNI)."""

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"


@contextmanager
def site(answers: Mapping[str, Answer], *, address: str = ELSEWHERE, certificate: str = "") -> Iterator[Site]:
    """A running server with these answers; with a certificate's file it speaks TLS."""
    with ThreadingHTTPServer((address, 0), Exchange) as server:
        server.daemon_threads = True
        found = Site(address, server.server_port)
        found.answers.update(answers)
        server.RequestHandlerClass = type("Exchange", (Exchange,), {"site": found})
        if certificate:
            server.socket = _tls(certificate, found).wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign] - clients that give up are what is tested
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join(DEADLINE_S)


def _tls(certificate: str, found: Site) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: found.names.append(name)  # type: ignore[assignment]
    return context


def answer(body: bytes, *, status: int = 200, **headers: str) -> Answer:
    """A whole answer. Header names have `_` for `-`."""

    def send(exchange: Exchange) -> None:
        lines = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
        exchange.write(_head(status, lines) + body)

    return send


def redirect(location: str, status: int = 302) -> Answer:
    return answer(b"", status=status, Location=location)


def chunks(pieces: Iterable[bytes], *, pause_s: float = 0, **headers: str) -> Answer:
    """An answer without a length whose body comes in pieces; they may go on for ever."""

    def send(exchange: Exchange) -> None:
        exchange.write(_head(200, {name.replace("_", "-"): value for name, value in headers.items()}))
        for piece in pieces:
            exchange.write(piece)
            exchange.wfile.flush()
            time.sleep(pause_s)  # a slow server, not a test that waits

    return send


def raw(data: bytes) -> Answer:
    """Bytes that may be no HTTP."""
    return lambda exchange: exchange.write(data)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in headers.items()), "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Internet(httpcore2.AnyIOBackend):
    """A network and its resolver. `sites` lie at addresses of the test's choice; no other address answers."""

    def __init__(self, names: Mapping[str, Iterable[str]], sites: Mapping[str, Site]) -> None:
        """`names`: the addresses of each host; `sites`: what is found at each address, on any port."""
        self.names = dict(names)
        self.sites = dict(sites)
        self.resolved: list[str] = []
        self.connected: list[str] = []

    async def resolve(self, host: str, port: int) -> list[str]:
        self.resolved.append(host)
        if host not in self.names:
            raise OSError("unknown host")
        return list(self.names[host])

    async def connect_tcp(self, host: str, port: int, *options: Any, **others: Any) -> httpcore2.AsyncNetworkStream:
        self.connected.append(host)
        if host not in self.sites:
            raise httpcore2.ConnectError("unreachable")
        return await super().connect_tcp(self.sites[host].address, self.sites[host].port, *options, **others)
