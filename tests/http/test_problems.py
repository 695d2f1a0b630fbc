"""Every error is a problem document with a request id, and a 5xx tells nothing of the inside."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from app import errors
from app.http.problems import TABLE, kind_of
from app.main import create_app
from app.settings import BatchSettings
from app.storage.base import ObjectInfo, StoredObject
from app.types import image_id_of
from tests.support.service import (
    KEYS,
    FakeEmbedder,
    GatedEmbedder,
    make_parts,
    serving,
    serving_parts,
    wait_until,
)
from tests.support.stores import WrappedStore

TEXT = "/api/v1/search/text"
SECRET = "secret-endpoint.internal"


def subclasses(cls: type) -> set[type]:
    return {cls}.union(*(subclasses(sub) for sub in cls.__subclasses__()))


def assert_problem(answer: httpx2.Response, status: int, name: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:image2search:problem:{name}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == answer.request.url.path
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return body


@pytest.mark.parametrize("error", sorted(subclasses(errors.AppError), key=lambda cls: cls.__name__))
def test_every_error_has_a_status(error: type[errors.AppError]) -> None:
    kind = kind_of(error("x"))
    assert 400 <= kind.status < 600
    is_for_the_caller = kind.status < 500 or kind.status == 501  # it says what the installation lacks
    assert is_for_the_caller or kind.detail, "what a 5xx says must not be the error's own sentence"


def test_the_table_is_of_app_errors() -> None:
    assert set(TABLE) <= subclasses(errors.AppError)


def test_unknown_route(client: httpx2.Client) -> None:
    body = assert_problem(client.get("/api/v1/nothing"), 404, "not-found")
    assert "/docs" in body["detail"]


def test_wrong_method(client: httpx2.Client) -> None:
    answer = client.get(TEXT)
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/images", {"GET", "HEAD", "POST"}),
        ("/api/v1/images/9f2c4b1d00aa37e5", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("/api/v1/images/import", {"POST"}),
        ("/docs", {"GET"}),
    ],
)
def test_all_methods_of_an_address_are_named(client: httpx2.Client, path: str, methods: set[str]) -> None:
    """Although each is in a router of its own, and a picture might be called `import`."""
    answer = client.put(path)
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == methods


def test_a_callers_sane_id_is_kept(client: httpx2.Client) -> None:
    answer = client.get("/nothing", headers={"X-Request-ID": "trace-1:a.B_2"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "trace-1:a.B_2"


@pytest.mark.parametrize("offered", ["", "a b", "x" * 129, "<script>", "é"])
def test_any_other_id_is_replaced(client: httpx2.Client, offered: str) -> None:
    answer = client.get("/health/live", headers={"X-Request-ID": offered.encode()})
    assert len(answer.headers["x-request-id"]) == 32


def test_missing_index(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path, keys=())) as client:
        for answer in (
            client.post(TEXT, json={"query": "dog"}),
            client.post("/api/v1/search/image", files={"file": b"x"}),
            client.get("/api/v1/folders"),
            client.get("/api/v1/images/0011223344556677"),
        ):
            assert_problem(answer, 503, "index-not-ready")
            assert int(answer.headers["retry-after"]) > 0


class DownStore(WrappedStore):
    """Down for pictures."""

    def get(self, key: str, **options: Any) -> StoredObject:
        if key.startswith("_index/"):
            return super().get(key, **options)
        raise errors.StorageUnavailable(f"{SECRET} refused the connection", retry_after_s=7)

    def head(self, key: str) -> ObjectInfo:
        raise errors.StorageUnavailable(f"{SECRET} refused the connection", retry_after_s=7)


def test_storage_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = make_parts(tmp_path)
    parts = replace(parts, store=DownStore(parts.store))
    with serving_parts(parts) as client:
        image_id = client.post(TEXT, json={"query": "dog"}).json()["results"][0]["image_id"]
        for kind in ("original", "thumbnail"):
            answer = client.get(f"/api/v1/images/{image_id}/{kind}")
            assert_problem(answer, 503, "storage-unavailable")
            assert answer.headers["retry-after"] == "7"
            assert SECRET not in answer.text
    assert SECRET in caplog.text


class BreakingStore(WrappedStore):
    """Breaks off in the middle of every object."""

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        yield super().get(key).data[:10]
        raise errors.StorageUnavailable(SECRET)


def test_a_store_that_breaks_off_breaks_off_the_answer(tmp_path: Path) -> None:
    """It must not look like a whole picture."""
    parts = make_parts(tmp_path)
    parts = replace(parts, store=BreakingStore(parts.store))
    with serving_parts(parts) as client:
        url = f"/api/v1/images/{image_id_of(KEYS[0])}/original"
        with pytest.raises(httpx2.RemoteProtocolError):
            client.get(url)
        assert client.get("/health/live").status_code == 200


class BrokenEmbedder(FakeEmbedder):
    def encode_texts(self, texts):
        raise RuntimeError(SECRET)


def test_a_bug_tells_nothing_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving_parts(make_parts(tmp_path, BrokenEmbedder())) as client:
        answer = client.post(TEXT, json={"query": "dog"})
        assert_problem(answer, 500, "internal")
        assert SECRET not in answer.text
        assert client.get("/health/live").status_code == 200
    assert SECRET in caplog.text
    assert any(record.exc_info for record in caplog.records if record.name == "app.http.middleware.unexpected")


def test_a_bug_in_a_route_keeps_the_request_id(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    app = create_app(parts.settings, parts)

    @app.get("/broken")
    async def broken(request: Request) -> None:
        raise ZeroDivisionError(SECRET)

    with serving(app) as client:
        answer = client.get("/broken", headers={"X-Request-ID": "mine"})
    assert assert_problem(answer, 500, "internal")["request_id"] == "mine"
    assert SECRET not in answer.text


def test_a_full_queue(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    embedder = GatedEmbedder()
    parts = make_parts(tmp_path, embedder, batch=BatchSettings(max_size=1, max_queue=1))
    with serving_parts(parts) as client, ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> httpx2.Response:
            return client.post(TEXT, json={"query": f"dog {number}"})

        first = pool.submit(ask, 0)
        assert embedder.entered.wait(10)
        others = [pool.submit(ask, number) for number in range(1, 7)]
        wait_until(lambda: sum(other.done() for other in others) >= 5)
        embedder.gate.set()
        answers = [other.result() for other in others]
        assert first.result().status_code == 200
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 5
    for answer in refused:
        assert_problem(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) > 0


def test_the_access_log_is_one_line_a_request(client: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="app"):
        client.get("/api/v1/index")
        client.get("/health/live")
        client.get("/no%0Aforged")
        wait_until(lambda: "forged" in caplog.text)
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("access_log")]
    assert len(lines) == 2
    assert lines[0].startswith("GET /api/v1/index 200 ")
    assert lines[1].startswith(r"GET /no\nforged 404 ")
