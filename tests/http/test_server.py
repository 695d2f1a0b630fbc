"""Clients that are slow, or that send without end, over raw sockets."""

import json
import socket
import time
from collections.abc import Iterator

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from app.http.server import MAX_HEAD_BYTES, LimitedProtocol
from tests.support.service import connected, serving, wait_until

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
ANSWER = b"HTTP/1.1 200 OK"
BIG = 50_000_000
"""More bytes than the system buffers for a client that reads nothing."""


class Hasty(LimitedProtocol):
    head_timeout_s = 0.3
    answer_timeout_s = 0.3
    check_s = 0.02


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once, without waiting for the body, with as many bytes as the path says."""
    if scope["type"] == "lifespan":
        return
    body = b"x" * int(scope["path"][1:] or 2)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def server() -> Iterator[httpx2.Client]:
    with serving(app, lifespan="off") as client:
        yield client


@pytest.fixture(scope="module")
def hasty() -> Iterator[httpx2.Client]:
    with serving(app, lifespan="off", http=Hasty) as client:
        yield client


def read_to_end(connection: socket.socket) -> bytes:
    """What the server sent until it closed the connection, which it does at once if it had not read all."""
    data = b""
    try:
        while part := connection.recv(1 << 20):
            data += part
    except ConnectionResetError:
        pass
    return data


def send_often(connection: socket.socket, data: bytes) -> None:
    for _ in range(3000):
        connection.sendall(data)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (GET + b"X-Long: ", b"a" * 10_000),
        (GET, b"X-Many: a\r\n" * 1000),
        (b"GET /", b"a" * 10_000),
        (b"", b"\r\n" * 5000),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: a\r\n" * 1000),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 10_000),
    ],
    ids=["a header", "headers", "a path", "empty lines", "trailers", "a chunk's extension"],
)
def test_what_has_no_end_is_cut_off(server: httpx2.Client, start: bytes, more: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(start)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_often(connection, more)
    assert server.get("/").status_code == 200


def test_a_head_that_is_too_large_is_answered(server: httpx2.Client) -> None:
    with connected(server) as connection:
        connection.sendall(GET + b"X-Long: ".ljust(MAX_HEAD_BYTES, b"a"))
        head, _, body = read_to_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"Content-Type: application/problem+json" in head
    problem = json.loads(body)
    assert problem["status"] == 431
    assert "65,536 bytes" in problem["detail"]


def test_a_whole_head_that_is_too_large_is_refused(server: httpx2.Client) -> None:
    """It may arrive in one piece."""
    answer = server.get("/", headers={"X-Long": "a" * MAX_HEAD_BYTES})
    assert answer.status_code == 431


def test_a_large_head_and_a_large_body_are_taken(server: httpx2.Client) -> None:
    headers = {"X-Long": "a" * (MAX_HEAD_BYTES - 1000)}
    assert server.post("/", headers=headers, content=b"x" * 3_000_000).status_code == 200
    assert server.post("/", headers=headers, content=iter([b"x" * 300_000] * 5)).status_code == 200


def test_requests_in_one_piece_are_each_answered(server: httpx2.Client) -> None:
    """More bytes than one head may have, in many heads."""
    count = 2 * MAX_HEAD_BYTES // len(GET)
    with connected(server) as connection:
        connection.sendall((GET + b"\r\n") * count + GET + b"Connection: close\r\n\r\n")
        assert read_to_end(connection).count(ANSWER) == count + 1


@pytest.mark.parametrize(
    "start",
    [b"", b"GET", GET, GET + b"X-A: ", GET + b"Upgrade: websocket\r\nConnection: upgrade\r\n"],
    ids=["nothing", "a method", "a header", "part of a header", "a WebSocket"],
)
def test_a_half_sent_head_is_not_waited_for(hasty: httpx2.Client, start: bytes) -> None:
    with connected(hasty) as connection:
        connection.sendall(start)
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n" if start else b"")
    assert bool(answer) is bool(start)


@pytest.mark.parametrize(
    "rest",
    [b"Content-Length: 100\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"\r\n\r\n", b"\r\nGET /"],
    ids=["a body", "chunks", "an empty line", "the next request"],
)
def test_what_is_half_sent_after_an_answer_is_not_waited_for(hasty: httpx2.Client, rest: bytes) -> None:
    with connected(hasty) as connection:
        connection.sendall(GET)
        connection.sendall(rest)
        assert read_to_end(connection).startswith(ANSWER)


def test_one_byte_at_a_time_gains_no_time(hasty: httpx2.Client) -> None:
    """A client that sends something before each timeout of a usual server."""
    with connected(hasty) as connection:
        connection.sendall(GET)
        connection.settimeout(0.02)
        answer = b""
        for _ in range(1000):
            connection.sendall(b"X")
            try:
                answer = connection.recv(1000)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408")


def test_a_client_that_reads_nothing_is_not_waited_for(hasty: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), connected(hasty) as connection:
        connection.sendall(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % BIG)
        wait_until(lambda: "read nothing" in caplog.text)
        assert len(read_to_end(connection)) < BIG


def test_a_client_that_reads_slowly_gets_all(hasty: httpx2.Client) -> None:
    """For longer than the timeout, with pauses that are shorter."""
    with hasty.stream("GET", f"/{BIG}") as answer:
        received = 0
        for part in answer.iter_raw(BIG // 10):
            received += len(part)
            time.sleep(Hasty.answer_timeout_s / 5)
    assert received == BIG


def test_other_protocols_are_answered_as_http(server: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
    answer = server.get("/", headers={"Upgrade": "websocket", "Connection": "upgrade"})
    assert answer.status_code == 200
    assert "upgrade" not in caplog.text


@pytest.mark.parametrize("sent", [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n: x\r\n\r\n"])
def test_what_is_no_http_gets_a_problem(server: httpx2.Client, sent: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(sent)
        head, _, body = read_to_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert json.loads(body)["status"] == 400
