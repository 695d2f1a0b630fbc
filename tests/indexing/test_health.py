"""GET /health/live and /health/ready: ready, degraded, not yet."""

from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from app.catalog.layout import POINTER_KEY
from tests.support.service import KEYS, FakeEmbedder, add_pictures, loaded, make_parts, serving_parts, wait_until

READY = "/health/ready"


def state(client: httpx2.Client) -> str | None:
    return client.get(READY).json().get("state")


def test_live(client: httpx2.Client) -> None:
    assert client.get("/health/live").json() == {"status": "ok"}


def test_ready(client: httpx2.Client, parts) -> None:
    answer = client.get(READY)
    assert answer.status_code == 200
    generation = parts.catalog.load().pointer.generation
    assert answer.json() == {"state": "ready", "generation": generation, "reasons": []}


@pytest.mark.parametrize("path", ["/health/live", READY, "/api/v1/index", "/api/v1/folders"])
def test_head(client: httpx2.Client, path: str) -> None:
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len(client.get(path).content)


def test_not_before_an_index_is_published(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, keys=())
    with serving_parts(parts) as client:
        answer = client.get(READY)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        assert "image2search index" in answer.json()["reasons"][0]
        assert client.get("/health/live").status_code == 200
        parts.catalog.publish(add_pictures(parts.store, parts.model.embedder, KEYS[:2]), parts.model.embedder.identity)
        wait_until(lambda: state(client) == "ready")


def test_degraded_while_the_newest_generation_is_corrupt(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    with serving_parts(parts) as client:
        wait_until(lambda: state(client) == "ready")
        good = parts.store.get(POINTER_KEY).data
        parts.store.put(POINTER_KEY, b"{}")
        wait_until(lambda: state(client) == "degraded")
        answer = client.get(READY)
        assert answer.status_code == 200
        assert POINTER_KEY in answer.json()["reasons"][0]
        assert client.post("/api/v1/search/text", json={"query": "dog"}).status_code == 200
        parts.store.put(POINTER_KEY, good)
        wait_until(lambda: state(client) == "ready")


def test_not_ready_with_an_index_of_another_model(tmp_path: Path) -> None:
    made = make_parts(tmp_path)
    other = FakeEmbedder(fingerprint="else" * 8)
    with serving_parts(replace(made, model=loaded(other))) as client:
        answer = client.get(READY)
        assert answer.status_code == 503
        assert "fakefake" in answer.json()["detail"]
        assert "elseelse" in answer.json()["detail"]
        assert client.get("/api/v1/index").json()["problem"] == answer.json()["detail"]
