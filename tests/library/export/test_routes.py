"""GET /images/{id}/embedding and /export over HTTP."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pyarrow.parquet as pq
import pytest

from app.bootstrap import Parts
from app.types import image_id_of
from tests.support.service import KEYS, make_parts, serving_parts

KEY = "nature/sunset1.jpg"
URL = f"/api/v1/images/{image_id_of(KEY)}/embedding"
EXPORT = "/api/v1/export"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return make_parts(tmp_path_factory.mktemp("bucket"))


@pytest.fixture(scope="module")
def client(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as client:
        yield client


def vector_of(parts: Parts, key: str) -> np.ndarray:
    snapshot = parts.catalog.load()
    assert snapshot is not None
    return snapshot.vectors.get([int.from_bytes(bytes.fromhex(image_id_of(key)), signed=True)])[0]


def test_an_embedding_as_json(client: httpx2.Client, parts: Parts) -> None:
    answer = client.get(URL)
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    expected = vector_of(parts, KEY)
    np.testing.assert_array_equal(np.array(body.pop("vector"), np.float32), expected)
    model = parts.model.identity
    assert body == {
        "image_id": image_id_of(KEY),
        "model": model.name,
        "fingerprint": model.fingerprint,
        "dimension": len(expected),
    }


@pytest.mark.parametrize(
    ("query", "accept", "npy"),
    [
        ("", "*/*", False),
        ("", "application/json", False),
        ("", "application/x-npy", True),
        ("", "Application/X-NPY;q=0.9, application/json; q=0.5", True),
        ("", "application/x-npy;q=0.5, */*", False),
        ("", "application/x-npy, application/json", False),
        ("", "application/x-npy;q=x", False),
        ("", "text/html", False),
        ("?format=npy", "application/json", True),
        ("?format=json", "application/x-npy", False),
    ],
)
def test_an_embedding_as_it_is_asked_for(
    client: httpx2.Client, parts: Parts, query: str, accept: str, npy: bool
) -> None:
    answer = client.get(URL + query, headers={"Accept": accept})
    assert answer.headers["content-type"] == ("application/x-npy" if npy else "application/json")
    assert answer.headers["vary"] == "Accept"
    if npy:
        np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), vector_of(parts, KEY))
        assert f"{image_id_of(KEY)}.npy" in answer.headers["content-disposition"]


@pytest.mark.parametrize("query", ["", "?format=npy"])
def test_an_unchanged_embedding_is_not_sent_again(client: httpx2.Client, query: str) -> None:
    got, asked = client.get(URL + query), client.head(URL + query)
    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["content-length"] == got.headers["content-length"]
    answer = client.get(URL + query, headers={"If-None-Match": got.headers["etag"]})
    assert (answer.status_code, answer.content) == (304, b"")


def test_the_kinds_have_different_etags(client: httpx2.Client) -> None:
    """JSON is compressed for clients that take it so: its etag does not name the bytes."""
    json, npy = (client.get(URL, params={"format": kind}).headers["etag"] for kind in ("json", "npy"))
    assert json.removeprefix("W/") != npy
    assert (json.startswith("W/"), npy.startswith("W/")) == (True, False)


@pytest.mark.parametrize("path", [f"{URL}?format=npy", EXPORT, f"{EXPORT}?as=parquet"])
def test_vectors_are_not_compressed(client: httpx2.Client, path: str) -> None:
    answer = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert len(answer.content) > 0
    assert "content-encoding" not in answer.headers


def test_an_embedding_of_no_picture(client: httpx2.Client) -> None:
    assert client.get(f"/api/v1/images/{'0' * 16}/embedding").status_code == 404
    assert client.get(f"{URL}?format=csv").status_code == 422


def test_export_as_npz(client: httpx2.Client, parts: Parts) -> None:
    answer = client.get(EXPORT)
    assert answer.headers["content-type"] == "application/zip"
    generation = client.get("/api/v1/index").json()["generation"]
    assert answer.headers["content-disposition"] == f'attachment; filename="image2search-{generation}.npz"'
    file = np.load(io.BytesIO(answer.content))
    assert file["object_keys"].tolist() == sorted(KEYS)
    np.testing.assert_array_equal(file["vectors"], [vector_of(parts, key) for key in sorted(KEYS)])


def test_export_as_parquet(client: httpx2.Client) -> None:
    query = {"as": "parquet", "folder": ["nature", "animals"], "format": "jpg"}
    answer = client.get(EXPORT, params=query)
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    table = pq.read_table(io.BytesIO(answer.content))
    assert table["object_key"].to_pylist() == ["animals/cat1.jpg", "nature/mountain view.jpg", "nature/sunset1.jpg"]
    asked = client.head(EXPORT, params=query)
    assert (asked.status_code, asked.headers["content-type"]) == (200, answer.headers["content-type"])
    assert "content-length" not in asked.headers


def test_parquet_without_its_package(client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("app.library.export.service.find_spec", lambda name: None)
    for ask in (client.get, client.head):
        answer = ask(EXPORT, params={"as": "parquet"})
        assert answer.status_code == 501
    answer = client.get(EXPORT, params={"as": "parquet"}).json()
    assert answer["type"] == "urn:image2search:problem:not-installed"
    assert "pip install 'image2search[export]'" in answer["detail"]
    assert client.get(EXPORT).status_code == 200


@pytest.mark.parametrize("query", [{"as": "csv"}, {"as_": "npz"}, {"sort": "key"}, {"format": "mp4"}])
def test_a_query_that_can_t_be_meant_is_refused(client: httpx2.Client, query: dict) -> None:
    assert client.get(EXPORT, params=query).status_code == 422


def test_without_an_index(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path, keys=())) as client:
        for path in (EXPORT, "/api/v1/images"):
            assert (client.get(path).status_code, client.head(path).status_code) == (503, 503)
