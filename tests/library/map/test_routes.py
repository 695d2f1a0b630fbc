"""GET /map over HTTP, read as the web app reads it."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest

from app.bootstrap import Parts
from app.catalog.view import View
from app.http.requests import view_source
from app.library.map.schemas import BINARY_TYPE
from app.main import create_app
from app.types import image_id_of
from tests.support.service import KEYS, FakeEmbedder, make_parts, serving, serving_parts, wait_until

MAP = "/api/v1/map"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return make_parts(tmp_path_factory.mktemp("bucket"))


@pytest.fixture(scope="module")
def client(parts: Parts) -> Iterator[httpx2.Client]:
    """Of a service whose map is complete."""
    with serving_parts(parts) as client:
        wait_until(lambda: client.get(MAP).json()["pending"] == [])
        yield client


def decoded(body: bytes) -> tuple[dict[str, tuple[float, float]], dict[str, object]]:
    """The points by image id, and the rest, of the binary form."""
    magic, version, count, length, *bounds = struct.unpack("<4sIII4f", body[:32])
    assert (magic, version, len(body)) == (b"I2SM", 1, 32 + 12 * count + length)
    ids = np.frombuffer(body, "<u8", count, 32)
    steps = np.frombuffer(body, "<u2", 2 * count, 32 + 8 * count).reshape(count, 2)
    least, greatest = np.array(bounds[:2]), np.array(bounds[2:])
    points = least + steps / 65535 * (greatest - least)
    return {f"{image_id:016x}": tuple(point) for image_id, point in zip(ids, points.tolist(), strict=True)}, json.loads(
        body[32 + 12 * count :]
    )


def test_json(client: httpx2.Client) -> None:
    answer = client.get(MAP)
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["layout"] == "pca"
    assert body["count"] == len(body["image_ids"]) == len(body["points"]) == len(KEYS)
    assert set(body["image_ids"]) == {image_id_of(key) for key in KEYS}
    x, y = np.array(body["points"]).T
    assert body["bounds"] == pytest.approx([x.min(), y.min(), x.max(), y.max()], abs=1e-4)
    assert sum(region["count"] for region in body["regions"]) == len(KEYS)
    assert all(region["name"] for region in body["regions"])
    assert body["generation"] == client.get("/api/v1/index").json()["generation"]


@pytest.mark.parametrize(
    ("query", "accept"), [("?format=binary", "application/json"), ("", BINARY_TYPE), ("", f"{BINARY_TYPE}, */*;q=0.1")]
)
def test_the_binary_form_says_the_same(client: httpx2.Client, query: str, accept: str) -> None:
    answer = client.get(MAP + query, headers={"Accept": accept})
    assert answer.headers["content-type"] == BINARY_TYPE
    points, rest = decoded(answer.content)
    told = client.get(MAP, headers={"Accept": "application/json"}).json()
    for image_id, point in zip(told.pop("image_ids"), told.pop("points"), strict=True):
        assert points[image_id] == pytest.approx(point, abs=1e-3)
    assert rest == told


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", f"application/json, {BINARY_TYPE}"])
def test_json_is_sent_where_it_is_asked_for(client: httpx2.Client, accept: str) -> None:
    answer = client.get(f"{MAP}?format=json", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"
    assert "Accept" in answer.headers["vary"]


@pytest.mark.parametrize("form", ["json", "binary"])
def test_an_unchanged_map_is_not_sent_again(client: httpx2.Client, form: str) -> None:
    etag = client.get(MAP, params={"format": form}).headers["etag"]
    again = client.get(MAP, params={"format": form}, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    other = client.get(MAP, params={"format": {"json": "binary", "binary": "json"}[form]})
    assert other.headers["etag"] != etag
    assert client.head(MAP).status_code == 200


@pytest.mark.parametrize("query", ["format=svg", "formats=json", "k=3"])
def test_unknown_parameters(client: httpx2.Client, query: str) -> None:
    assert client.get(f"{MAP}?{query}").status_code == 422


def test_no_index_yet(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path, keys=())) as client:
        assert client.get(MAP).json()["type"] == "urn:image2search:problem:index-not-ready"


def test_a_narrowed_view_shows_its_own_pictures_only(parts: Parts) -> None:
    snapshot = parts.catalog.load()
    assert snapshot is not None
    app = create_app(parts.settings, parts)
    app.dependency_overrides[view_source] = lambda: lambda: View(snapshot, ["nature"])
    inside = {image_id_of(key) for key in KEYS if key.startswith("nature/")}
    with serving(app) as client:
        body = client.get(MAP).json()
        points, rest = decoded(client.get(f"{MAP}?format=binary").content)
    assert set(body["image_ids"]) == set(points) == inside
    assert sum(region["count"] for region in body["regions"]) == rest["count"] == len(inside)


def test_a_map_of_nothing_and_of_one_picture(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, keys=KEYS[:1])
    app = create_app(parts.settings, parts)
    snapshot = parts.catalog.load()
    assert snapshot is not None
    scopes = [["elsewhere"], [""]]
    app.dependency_overrides[view_source] = lambda: lambda: View(snapshot, scopes[0])
    with serving(app) as client:
        for expected in (0, 1):
            body = client.get(MAP).json()
            points, rest = decoded(client.get(f"{MAP}?format=binary").content)
            assert body["count"] == rest["count"] == len(points) == len(body["regions"]) == expected
            assert body["bounds"] == [0, 0, 0, 0]
            scopes.pop(0)


def test_the_words_are_kept_in_the_index_store(parts: Parts, client: httpx2.Client) -> None:
    kept = [info.key for info in parts.index_store.list("_map/")]
    assert len(kept) == 2
    assert kept[0].endswith("/pca.npz")
    assert kept[1].startswith(f"_map/words/{FakeEmbedder().identity.fingerprint}-")
