"""413 while the body is still arriving, over a raw socket."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from app.bootstrap import Parts
from app.http.middleware import FORM_OVERHEAD_BYTES, MAX_JSON_BYTES
from tests.support.service import DEADLINE_S

IMAGE = "/api/v1/search/image"
BOUNDARY = "frontier"
FORM_HEAD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'.encode()


@contextmanager
def connected(client: httpx2.Client) -> Iterator[socket.socket]:
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address, timeout=DEADLINE_S) as connection:
        yield connection


def head(path: str, *headers: str, content_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Type: {content_type}", *headers]
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
