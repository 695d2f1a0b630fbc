"""As a client of that backend uses it."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.bootstrap import Parts
from app.settings import FetchSettings
from app.types import image_id_of
from tests.support.service import KEYS, encoded, make_parts, picture, serving_parts
from tests.support.web import Site, answer, site

KEY = "nature/sunset1.jpg"


@pytest.fixture(scope="module")
def web() -> Iterator[Site]:
    files = {"/cat.png": answer(encoded(picture("x"))), "/page.html": answer(b"<html></html>")}
    with site(files, address="127.0.0.1") as found:
        yield found


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return make_parts(tmp_path, fetch=FetchSettings(allowed_hosts="127.0.0.1"))


@pytest.fixture
def client(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as client:
        yield client


def test_add_list_search_delete(client: httpx2.Client, web: Site, parts: Parts) -> None:
    added = client.post("/images/add", params={"image_url": f"{web.url}/cat.png"})
    image_id = added.json()["image_id"]
    assert added.json() == {"status": "success", "image_id": image_id}

    listed = client.get("/images/list").json()
    assert listed["status"] == "success"
    assert {image["id"] for image in listed["images"]} == {image_id_of(key) for key in KEYS} | {image_id}
    (ours,) = (image for image in listed["images"] if image["id"] == image_id)
    assert client.get(ours["s3_link"]).content == encoded(picture("x"))

    by_url = client.post("/image/search/url/", params={"image_url": f"{web.url}/cat.png"}).json()["results"]
    assert (by_url["status"], by_url["total_results"]) == ("success", len(KEYS) + 1)
    best = by_url["results"][0]
    assert (best["id"], best["similarity_score"], best["s3_url"]) == (image_id, 100.0, ours["s3_link"])
    assert best["metadata"] == {
        "image_id": image_id,
        "source_url": f"{web.url}/cat.png",
        "width": 60,
        "height": 40,
        "path": ours["s3_link"],
    }

    deleted = client.delete("/images/delete", params={"image_id": image_id})
    assert deleted.json()["status"] == "success"
    assert deleted.json()["deleted_id"] == image_id
    assert image_id not in {image["id"] for image in client.get("/images/list/").json()["images"]}
    assert {info.key for info in parts.store.list() if not info.key.startswith("_")} == set(KEYS)


def test_the_searches_agree_with_ours(client: httpx2.Client, web: Site) -> None:
    ours = client.post("/api/v1/search/text", json={"query": "a red car", "k": 100}).json()["results"]
    theirs = client.post("/images/search/text", params={"query": "a red car"}).json()["results"]["results"]
    assert [result["id"] for result in theirs] == [result["image_id"] for result in ours]
    assert [result["similarity_score"] for result in theirs] == [round(result["score"] * 100, 2) for result in ours]
    image = {"image": ("x.png", encoded(picture("x")))}
    by_image = client.post("/images/search/image", files=image).json()
    assert client.post("/images/search/image/", files=image).json() == by_image
    assert client.post("/images/search/url", params={"image_url": f"{web.url}/cat.png"}).json() == by_image


def test_a_caption_is_the_description(client: httpx2.Client) -> None:
    client.patch(f"/api/v1/images/{image_id_of(KEY)}", json={"caption": "evening"})
    results = client.post("/images/search/text", params={"query": "x"}).json()["results"]["results"]
    assert {result["metadata"].get("description") for result in results} == {"evening", None}


def test_parts_of_the_list(client: httpx2.Client) -> None:
    whole = client.get("/images/list").json()["images"]
    assert [image["id"] for image in whole] == [image_id_of(key) for key in sorted(KEYS)]
    assert client.get("/images/list", params={"limit": 2, "offset": 3}).json()["images"] == whole[3:5]
    assert client.get("/images/list", params={"offset": 100}).json() == {"status": "success", "images": []}


def test_errors_say_so_in_its_words(client: httpx2.Client, web: Site) -> None:
    for answered, status in (
        (client.post("/images/add", params={"image_url": f"{web.url}/page.html"}), 400),
        (client.post("/images/add", params={"image_url": "http://127.0.0.2/x.png"}), 400),
        (client.post("/images/add"), 400),
        (client.delete("/images/delete", params={"image_id": "0" * 16}), 404),
        (client.post("/images/search/text", params={"query": " "}), 400),
        (client.post("/images/search/image", files={"image": ("x.png", b"x")}), 400),
        (client.post("/images/add", params={"image_url": web.url}, headers={"sec-fetch-site": "cross-site"}), 415),
    ):
        assert answered.status_code == status, answered.text
        assert answered.json()["status"] == "error"
        assert len(answered.json()["message"]) > 10


def test_an_empty_library(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path, keys=())) as client:
        answered = client.get("/images/list")
        assert (answered.status_code, answered.json()["status"]) == (503, "error")
        assert answered.headers["retry-after"]
