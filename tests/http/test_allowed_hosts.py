"""Requests for other hosts are refused, as a page of another site sends them after DNS rebinding."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.settings import ServerSettings
from tests.support.service import connected, make_parts, serving_parts


def status(client: httpx2.Client, host: str) -> int:
    return client.get("/health/live", headers={"Host": host}).status_code


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8000", "LOCALHOST", "localhost.", "images.localhost:9", "localhost:"),
        *("127.0.0.1", "127.0.0.1:8000", "192.168.1.5:8000", "[::1]", "[::1]:8000", "[fe80::1]"),
    ],
)
def test_local_names_and_addresses_are_answered(client: httpx2.Client, host: str) -> None:
    assert status(client, host) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example"),
        *("2130706433.evil", "localhost:80:80", "localhost@evil.example", "[evil.example]", "", ":8000", "\xff"),
    ],
)
def test_other_names_are_not(client: httpx2.Client, host: str) -> None:
    for path in ("/health/live", "/api/v1/folders", "/docs", "/nothing"):
        answer = client.get(path, headers={"Host": host.encode("latin-1")})
        assert answer.status_code == 421
        assert answer.headers["content-type"] == "application/problem+json"
        assert "ALLOWED_HOSTS" in answer.json()["detail"]
    answer = client.post("/api/v1/search/text", json={"query": "dog"}, headers={"Host": host.encode("latin-1")})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [((), 200), (("localhost", "evil.example"), 421), (("evil.example", "localhost"), 421), (("localhost",) * 2, 200)],
)
def test_every_host_of_a_request_is_checked(client: httpx2.Client, hosts: tuple[str, ...], expected: int) -> None:
    """HTTP/1.0 needs none: health checks of load balancers send none."""
    with connected(client) as connection:
        connection.sendall(
            "\r\n".join(["GET /health/live HTTP/1.0", *(f"Host: {host}" for host in hosts), "", ""]).encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 %d " % expected)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    server = ServerSettings(host="photos.lan", allowed_hosts="Photos.example, *.shop.example")
    with serving_parts(make_parts(tmp_path_factory.mktemp("bucket"), server=server)) as client:
        yield client


@pytest.mark.parametrize(
    "host", ["photos.example", "PHOTOS.example:443", "a.b.shop.example", "photos.lan", "localhost"]
)
def test_names_of_the_settings_are_answered(named: httpx2.Client, host: str) -> None:
    assert status(named, host) == 200


@pytest.mark.parametrize("host", ["shop.example", "myshop.example", "a.photos.example", "example"])
def test_a_name_allows_no_other(named: httpx2.Client, host: str) -> None:
    assert status(named, host) == 421


def test_a_star_allows_any(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path, server=ServerSettings(allowed_hosts="*"))) as client:
        assert status(client, "any.example") == 200
