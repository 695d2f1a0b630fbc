"""What is compressed, and which pages of other origins may use the service."""

import gzip
import json
from collections.abc import Iterator

import httpx2
import pytest

from app.settings import ServerSettings
from app.types import image_id_of
from tests.support.service import KEYS, connected, make_parts, serving_parts

TEXT = "/api/v1/search/text"
SHOP = "https://shop.example"
LARGE = ("large/scan.bmp", "large/scan.tif", "large/camera.dng", "large/photo.jpg")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """Which the pages of two origins may use. Some of its pictures could be compressed well."""
    server = ServerSettings(cors_origins=f"{SHOP}, http://localhost:3000")
    parts = make_parts(tmp_path_factory.mktemp("bucket"), keys=(*KEYS, *LARGE), server=server)
    for key in LARGE:
        parts.store.put(key, bytes(300_000))
    with serving_parts(parts) as client:
        yield client


def raw(client: httpx2.Client, method: str, path: str, body: object = None, encodings: str = "gzip") -> httpx2.Response:
    """The answer with its body as it was sent."""
    headers = {"Accept-Encoding": encodings}
    with client.stream(method, path, json=body, headers=headers) as answer:
        answer._content = b"".join(answer.iter_raw())
    return answer


def test_json_above_1_kb_is_compressed(service: httpx2.Client) -> None:
    small, large = raw(service, "GET", "/health/ready"), raw(service, "POST", TEXT, {"query": "cat", "k": 10})
    assert "content-encoding" not in small.headers
    assert json.loads(small.content)
    assert large.headers["content-encoding"] == "gzip"
    assert int(large.headers["content-length"]) == len(large.content)
    assert "accept-encoding" in large.headers["vary"].lower()
    assert len(json.loads(gzip.decompress(large.content))["results"]) == 10
    assert len(large.content) < len(gzip.decompress(large.content)) / 2


def test_a_client_that_does_not_unpack_gets_it_as_it_is(service: httpx2.Client) -> None:
    answer = raw(service, "POST", TEXT, {"query": "cat", "k": 10}, encodings="identity")
    assert "content-encoding" not in answer.headers
    assert len(json.loads(answer.content)["results"]) == 10


@pytest.mark.parametrize("key", LARGE)
def test_no_picture_is_compressed(service: httpx2.Client, key: str) -> None:
    """Of any kind; its length is known before it has come."""
    path = f"/api/v1/images/{image_id_of(key)}/original"
    for method in ("GET", "HEAD"):
        answer = raw(service, method, path)
        assert "content-encoding" not in answer.headers
        assert answer.headers["content-length"] == "300000"
        assert answer.headers["etag"]
    assert raw(service, "GET", path).content == bytes(300_000)


def test_files_of_the_docs_page_keep_their_etags_and_ranges(service: httpx2.Client) -> None:
    path = "/static-offline-docs/swagger-ui.css"
    answer = raw(service, "GET", path)
    assert "content-encoding" not in answer.headers
    assert service.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    part = service.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, answer.content[10:20])


def test_refusals_come_before_the_body_has_been_sent(service: httpx2.Client) -> None:
    with connected(service) as connection:
        connection.sendall(
            b"POST /api/v1/search/text HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n"
            b"Content-Type: application/json\r\nContent-Length: 9999999\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def preflight(client: httpx2.Client, origin: str, path: str = TEXT, **asked: str) -> httpx2.Response:
    names = {"Method": "POST", "Headers": "content-type", **asked}
    return client.options(
        path, headers={"Origin": origin, **{f"Access-Control-Request-{k}": v for k, v in names.items()}}
    )


@pytest.mark.parametrize("origin", [SHOP, "http://localhost:3000"])
def test_a_page_of_a_named_origin_may_search(service: httpx2.Client, origin: str) -> None:
    asked = preflight(service, origin)
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == origin
    assert {"content-type", "range", "if-range"} <= set(
        asked.headers["access-control-allow-headers"].lower().split(", ")
    )
    for answer in (
        service.post(TEXT, json={"query": "cat"}, headers={"Origin": origin}),
        service.get("/api/v1/folders", headers={"Origin": origin}),
        service.post(TEXT, json={"query": ""}, headers={"Origin": origin}),
        service.get(f"/api/v1/images/{image_id_of(KEYS[0])}/thumbnail", headers={"Origin": origin}),
    ):
        assert answer.headers["access-control-allow-origin"] == origin
        assert "origin" in answer.headers["vary"].lower()
        assert {"X-Request-ID", "Content-Range"} <= set(answer.headers["access-control-expose-headers"].split(", "))
        assert "access-control-allow-credentials" not in answer.headers


def test_a_page_may_read_errors_too(service: httpx2.Client) -> None:
    for answer in (
        service.get("/nothing", headers={"Origin": SHOP}),
        service.get("/api/v1/folders", headers={"Origin": SHOP, "Host": "evil.example"}),
        service.post(TEXT, content=b"x" * 2_000_000, headers={"Origin": SHOP, "Content-Type": "application/json"}),
    ):
        assert answer.status_code in (404, 413, 421)
        assert answer.headers["access-control-allow-origin"] == SHOP


def test_in_a_network_of_its_own_the_service_may_be_asked_by_a_public_page(service: httpx2.Client) -> None:
    asked = preflight(service, SHOP, **{"Private-Network": "true"})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://shop.example", f"{SHOP}:444", f"{SHOP}.evil.example", "null"]
)
def test_no_other_origin_may(service: httpx2.Client, origin: str) -> None:
    for path in (TEXT, "/api/v1/index/jobs"):
        asked = preflight(service, origin, path)
        assert asked.status_code == 400
        assert "access-control-allow-origin" not in asked.headers
    answer = service.post(TEXT, json={"query": "cat"}, headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers


def test_without_the_setting_no_answer_speaks_of_origins(client: httpx2.Client) -> None:
    for answer in (preflight(client, SHOP), client.post(TEXT, json={"query": "cat"}, headers={"Origin": SHOP})):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "origin" not in answer.headers.get("vary", "").lower()


def test_a_star_is_any_origin(tmp_path_factory: pytest.TempPathFactory) -> None:
    parts = make_parts(tmp_path_factory.mktemp("bucket"), server=ServerSettings(cors_origins="*"))
    with serving_parts(parts) as client:
        assert preflight(client, SHOP).status_code == 200
        answer = client.post(TEXT, json={"query": "cat"}, headers={"Origin": SHOP})
        assert answer.headers["access-control-allow-origin"] == "*"
