"""413 and 408 while the body is still arriving, over a raw socket."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from app.bootstrap import Parts
from app.http.middleware import FORM_OVERHEAD_BYTES, MAX_JSON_BYTES
from app.http.middleware.body_limit import BodyLimitMiddleware
from app.http.problems import add_error_handlers
from tests.support.service import connected, serving

IMAGE = "/api/v1/search/image"
BOUNDARY = "frontier"
FORM_HEAD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'.encode()


def head(path: str, *headers: str, content_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def send_without_end(connection: socket.socket) -> None:
    for _ in range(100_000):
        connection.sendall(chunk(b"\0" * 10_000))


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], dict[str, object]]:
    """Status, headers and body, without waiting for the connection to end."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    top, _, body = data.partition(b"\r\n\r\n")
    status, *lines = top.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return int(status.split()[1]), headers, json.loads(body)


def test_a_chunked_upload_is_answered_before_it_ends(client: httpx2.Client, parts: Parts) -> None:
    limit = parts.settings.image.max_bytes + FORM_OVERHEAD_BYTES
    with connected(client) as connection:
        connection.sendall(head(IMAGE, "Transfer-Encoding: chunked") + chunk(FORM_HEAD))
        for _ in range(limit // 10_000 + 1):
            connection.sendall(chunk(b"\0" * 10_000))
        status, headers, problem = read_answer(connection)  # the last chunk was never sent
        assert status == 413
        assert headers["content-type"] == "application/problem+json"
        assert headers["connection"] == "close"
        assert problem["status"] == 413
        assert problem["request_id"] == headers["x-request-id"]


def test_an_upload_that_goes_on_is_cut_off(client: httpx2.Client) -> None:
    with connected(client) as connection:
        connection.sendall(head(IMAGE, "Transfer-Encoding: chunked") + chunk(FORM_HEAD))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_without_end(connection)


def test_a_length_that_is_too_large_is_answered_before_the_body(client: httpx2.Client) -> None:
    with connected(client) as connection:
        connection.sendall(head(IMAGE, "Content-Length: 1000000000"))
        assert read_answer(connection)[0] == 413
        assert connection.recv(1) == b"", "a client that then sends nothing is not waited for"


def test_a_client_that_waits_for_100_continue_never_sends(client: httpx2.Client) -> None:
    with connected(client) as connection:
        connection.sendall(head(IMAGE, "Content-Length: 1000000000", "Expect: 100-continue"))
        assert read_answer(connection)[0] == 413


def test_clients_that_send_all_first_get_the_answer(client: httpx2.Client, parts: Parts) -> None:
    data = b"\0" * (2 * parts.settings.image.max_bytes)
    assert client.post(IMAGE, files={"file": ("a.png", data)}).status_code == 413


def test_json_has_a_limit_of_its_own(client: httpx2.Client) -> None:
    answer = client.post("/api/v1/search/text", json={"query": "x" * MAX_JSON_BYTES})
    assert answer.status_code == 413
    padded = b'{"query": "dog"}'.ljust(MAX_JSON_BYTES)
    answer = client.post("/api/v1/search/text", content=padded, headers={"content-type": "application/json"})
    assert answer.status_code == 200


def test_the_next_request_is_served(client: httpx2.Client) -> None:
    client.post("/api/v1/search/text", json={"query": "x" * MAX_JSON_BYTES})
    assert client.get("/health/live").status_code == 200


TIMEOUT_S = 0.3


@pytest.fixture(scope="module")
def hasty() -> Iterator[httpx2.Client]:
    """A service that waits `TIMEOUT_S` for a body, and longer for one of many bytes."""
    app = FastAPI()
    app.add_middleware(BodyLimitMiddleware, limit_for=lambda scope: 10**7, timeout_s=TIMEOUT_S)
    add_error_handlers(app)

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.post("/slow")
    async def slow(request: Request) -> int:
        parts = [part async for part in request.stream() if not await asyncio.sleep(TIMEOUT_S * 1.5)]
        return len(b"".join(parts))

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"a"
            await asyncio.sleep(TIMEOUT_S * 1.5)
            yield b"b"

        return StreamingResponse(parts())

    with serving(app) as client:
        yield client


@pytest.mark.parametrize("encoding", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_half_sent_body_is_not_waited_for(hasty: httpx2.Client, encoding: str) -> None:
    with connected(hasty) as connection:
        connection.sendall(head("/length", encoding) + b"3\r\nabc")
        status, headers, problem = read_answer(connection)
        assert status == problem["status"] == 408
        assert headers["connection"] == "close"
        assert headers["content-type"] == "application/problem+json"
    assert hasty.post("/length", content=b"abc").json() == 3


def test_a_body_that_comes_slowly_is_not_waited_for(hasty: httpx2.Client) -> None:
    """One byte before each timeout of a usual server."""
    with connected(hasty) as connection:
        connection.sendall(head("/length", "Content-Length: 1000"))
        connection.settimeout(TIMEOUT_S / 20)
        answer = b""
        while not answer:
            connection.sendall(b"x")
            try:
                answer = connection.recv(1000)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408")


def test_a_large_body_may_take_longer(hasty: httpx2.Client) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(6):
            yield b"x" * 10_000
            time.sleep(TIMEOUT_S / 3)

    assert hasty.post("/length", content=parts()).json() == 60_000


def test_our_own_time_is_not_counted(hasty: httpx2.Client) -> None:
    def parts() -> Iterator[bytes]:
        yield b"a"
        time.sleep(TIMEOUT_S / 3)
        yield b"b"

    assert hasty.post("/slow", content=parts()).json() == 2


def test_an_answer_may_take_longer_than_a_body(hasty: httpx2.Client) -> None:
    """While it is streamed, the server listens for the client's going."""
    assert hasty.get("/stream").content == b"ab"


@pytest.mark.parametrize("length", [5, 10**9])
def test_a_body_that_nobody_asked_for_breaks_no_answer(hasty: httpx2.Client, length: int) -> None:
    with connected(hasty) as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\nabc" % length)
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            answer += (part := connection.recv(1000))
            assert part
    assert answer.startswith(b"HTTP/1.1 200 OK")
