"""The Flask CLIP image search, as its README tells it and its clients use it."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from app.bootstrap import Parts
from app.catalog.changes import Changes
from app.catalog.view import View
from app.compat.flask_clip import SENT_AT_ONCE
from app.http.requests import view_source
from app.main import create_app
from app.types import image_id_of
from tests.support.service import KEYS, FakeEmbedder, add_pictures, encoded, make_parts, picture, serving, serving_parts

BY_KEY = sorted(KEYS)


def number_of(key: str) -> int:
    return BY_KEY.index(key)


def vector_of(parts: Parts, key: str) -> list[float]:
    snapshot = parts.catalog.load()
    assert snapshot is not None
    return View(snapshot).vector(image_id_of(key)).tolist()


def test_search_for_images(client: httpx2.Client) -> None:
    """curl "http://localhost:3000/search?query=your+search+term" """
    found = client.get("/search?query=your+search+term").json()
    assert len(found) == len(KEYS)  # up to 100
    assert all(list(each) == ["id", "distance"] for each in found)
    assert sorted(each["id"] for each in found) == list(range(len(KEYS)))
    distances = [each["distance"] for each in found]
    assert distances == sorted(distances)


def test_the_distance_is_squared_as_in_faiss(client: httpx2.Client) -> None:
    found = {each["id"]: each["distance"] for each in client.get("/search", params={"query": "a dog"}).json()}
    ours = client.post("/api/v1/search/text", json={"query": "a dog", "k": 100, "auto_folder": False}).json()["results"]
    assert found == pytest.approx({number_of(each["object_key"]): each["distance"] ** 2 for each in ours}, abs=1e-5)


def test_the_words_of_a_search_name_no_folder(client: httpx2.Client) -> None:
    assert len(client.get("/search", params={"query": "show me nature photos"}).json()) == len(KEYS)


@pytest.mark.parametrize(("top_k", "expected"), [(3, 3), (0, 1), (-5, 1), (100_000, len(KEYS))])
def test_top_k_is_kept_in_its_range(client: httpx2.Client, top_k: int, expected: int) -> None:
    assert len(client.get("/search", params={"query": "a dog", "top_k": top_k}).json()) == expected


def test_get_a_list_of_all_indexed_images(client: httpx2.Client) -> None:
    assert client.get("/images").json() == list(range(len(KEYS)))


@pytest.mark.parametrize("key", KEYS)
def test_the_image_of_a_specific_id(client: httpx2.Client, parts: Parts, key: str) -> None:
    """/image/<id> is a small copy, /original/<id> the file."""
    copy = client.get(f"/image/{number_of(key)}")
    assert copy.headers["content-type"] == "image/webp"
    with Image.open(io.BytesIO(copy.content)) as shown:
        assert shown.size == (60, 40)
    assert copy.content == client.get(f"/api/v1/images/{image_id_of(key)}/thumbnail").content
    assert client.get(f"/original/{number_of(key)}").content == parts.store.get(key).data


def test_the_details_of_a_specific_id(client: httpx2.Client) -> None:
    number = number_of("nature/sunset1.jpg")
    answer = client.get(f"/image/{number}", headers={"Accept": "application/json"})
    assert answer.json() == {
        "filename": "sunset1.jpg",
        "folder": "nature",
        "image_id": image_id_of("nature/sunset1.jpg"),
        "description": "",
        "keywords": [],
        "id": number,
        "width": 60,
        "height": 40,
    }
    assert "Accept" in answer.headers["vary"]


def test_an_image_tag_of_a_browser_gets_a_picture(client: httpx2.Client) -> None:
    for accept in ("image/avif,image/webp,*/*;q=0.8", "*/*", "text/html,application/xhtml+xml,image/webp,*/*;q=0.8"):
        assert client.get("/image/0", headers={"Accept": accept}).headers["content-type"] == "image/webp"


def test_pictures_are_sent_as_under_api_v1(client: httpx2.Client) -> None:
    etag = client.get("/image/0").headers["etag"]
    assert client.get("/image/0", headers={"If-None-Match": etag}).status_code == 304
    assert client.head("/image/0").status_code == client.head("/original/0").status_code == 200
    part = client.get("/original/0", headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)
    assert part.headers["x-content-type-options"] == "nosniff"


def test_pre_computed_embeddings(client: httpx2.Client, parts: Parts) -> None:
    found = client.get("/embeddings").json()
    assert [each["id"] for each in found] == list(range(len(KEYS)))
    for each, key in zip(found, BY_KEY, strict=True):
        assert list(each) == ["id", "embedding", "metadata"]
        assert each["embedding"] == pytest.approx(vector_of(parts, key))
        assert each["metadata"]["filename"] == key.rpartition("/")[2]
        assert client.get(f"/embedding/{each['id']}").json() == pytest.approx(each["embedding"])
    assert client.get("/metadata").json() == [each["metadata"] for each in found]


def test_a_text_is_compared_with_embeddings_as_the_search_does(client: httpx2.Client) -> None:
    text = np.array(client.get("/embedding-for-text", params={"query": "a dog"}).json())
    vectors = np.array([each["embedding"] for each in client.get("/embeddings").json()])
    found = client.get("/search", params={"query": "a dog"}).json()
    expected = ((vectors - text) ** 2).sum(axis=1)
    assert {each["id"]: each["distance"] for each in found} == pytest.approx(dict(enumerate(expected)), abs=1e-3)


def test_search_by_image(client: httpx2.Client, parts: Parts) -> None:
    """curl -F file=@picture.jpg -F top_k=2 http://localhost:3000/search-by-image"""
    found = client.post("/search-by-image", files={"file": parts.store.get(KEYS[0]).data}, data={"top_k": "2"}).json()
    assert (len(found), found[0]["id"]) == (2, number_of(KEYS[0]))
    assert found[0]["distance"] < 0.001


def test_an_image_id_stays_where_a_number_does_not(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    original = parts.store.get("vehicles/car1.jpg").data
    with serving_parts(parts) as client:
        image_id = client.get("/metadata").json()[-1]["image_id"]
        assert client.get(f"/original/{image_id}").content == client.get("/original/6").content == original
        client.delete(f"/api/v1/images/{image_id_of(BY_KEY[0])}")
        assert client.get("/images").json() == list(range(6))
        assert client.get(f"/original/{image_id}").content == client.get("/original/5").content == original


@pytest.mark.parametrize("path", ["/search", "/search?query=", "/search?query=%20", "/embedding-for-text"])
def test_a_query_is_missing(client: httpx2.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("Missing 'query'")


def test_parameters_that_can_not_be_used_are_400(client: httpx2.Client) -> None:
    for path in ("/search?query=dog&top_k=many", f"/search?query={'x' * 2001}"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["status"]) == (400, 400)
        assert answer.json()["error"] == answer.json()["detail"]
    assert client.post("/search-by-image").status_code == 400
    assert client.post("/search-by-image", files={"file": b"no picture"}).status_code == 400


@pytest.mark.parametrize("image_id", ["7", "-1", "1.5", "x", "99999999999", "0" * 16, "²"])
@pytest.mark.parametrize("path", ["image", "original", "embedding"])
def test_unknown_ids_are_404(client: httpx2.Client, path: str, image_id: str) -> None:
    answer = client.get(f"/{path}/{image_id}")
    assert answer.status_code == 404
    assert answer.json()["error"]


def test_no_index_is_503(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path, keys=())) as client:
        for path in ("/search?query=dog", "/images", "/image/0", "/original/0", "/embeddings", "/embedding/0"):
            answer = client.get(path)
            assert (answer.status_code, bool(answer.json()["error"])) == (503, True), path
            assert int(answer.headers["retry-after"]) > 0


def test_a_library_that_is_empty(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, keys=KEYS[:1])
    gone = Changes(removed=frozenset([image_id_of(KEYS[0])]))
    parts.catalog.publish(gone, FakeEmbedder().identity, since=parts.catalog.load())
    with serving_parts(parts) as client:
        for path in ("/search?query=dog", "/images", "/embeddings", "/metadata"):
            assert client.get(path).json() == [], path
        assert client.get("/image/0").status_code == 404


def test_more_pictures_than_are_sent_at_once(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, keys=())
    one = add_pictures(parts.store, FakeEmbedder(), ["a.jpg"])
    names = [f"{number:04}.jpg" for number in range(SENT_AT_ONCE + 3)]
    records = [replace(one.added[0], image_id=image_id_of(name), object_key=name) for name in names]
    vectors = FakeEmbedder().encode_texts(names)
    parts.catalog.publish(Changes(added=tuple(records), vectors=vectors), FakeEmbedder().identity)
    with serving_parts(parts) as client:
        found = client.get("/embeddings").json()
        assert [each["metadata"]["filename"] for each in found] == names
        assert [each["id"] for each in found] == client.get("/images").json()
        assert found[-1]["embedding"] == pytest.approx(vectors[-1].tolist())


@pytest.fixture(scope="module")
def narrowed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    parts = make_parts(tmp_path_factory.mktemp("bucket"))
    snapshot = parts.catalog.load()
    assert snapshot is not None
    app = create_app(parts.settings, parts)
    app.dependency_overrides[view_source] = lambda: lambda: View(snapshot, ["nature"])
    with serving(app) as client:
        yield client


def test_numbers_are_of_what_the_caller_may_see(narrowed: httpx2.Client) -> None:
    inside = [key for key in BY_KEY if key.startswith("nature/")]
    assert narrowed.get("/images").json() == [0, 1, 2]
    assert [each["image_id"] for each in narrowed.get("/metadata").json()] == [image_id_of(key) for key in inside]
    assert sorted(each["id"] for each in narrowed.get("/search?query=car").json()) == [0, 1, 2]
    found = narrowed.post("/search-by-image", files={"file": encoded(picture("vehicles/car1.jpg"))}).json()
    assert sorted(each["id"] for each in found) == [0, 1, 2]
    assert narrowed.get("/image/3").status_code == 404
    assert narrowed.get(f"/embedding/{image_id_of('vehicles/car1.jpg')}").status_code == 404
