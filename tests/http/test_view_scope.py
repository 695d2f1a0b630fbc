"""Every service is walked over HTTP with a view of one folder: nothing outside of it shows anywhere."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import numpy as np
import pytest

from app.catalog.view import View
from app.http.requests import view_source
from app.main import create_app
from app.settings import Settings
from app.types import image_id_of
from tests.support.captions import FakeCaptioner, lazily
from tests.support.service import KEYS, encoded, make_parts, picture, serving

SCOPE = "nature"
INSIDE = {key for key in KEYS if key.startswith("nature/")}
OUTSIDE = "vehicles/car1.jpg"
V2 = "/api/demo_backend_v2/image_search"


@pytest.fixture(scope="module")
def scoped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    parts = replace(make_parts(tmp_path_factory.mktemp("bucket")), captioner=lazily(FakeCaptioner()))
    snapshot = parts.catalog.load()
    assert snapshot is not None
    app = create_app(parts.settings, parts)
    app.dependency_overrides[view_source] = lambda: lambda: View(snapshot, [SCOPE])
    with serving(app) as client:
        yield client


def keys(answer: httpx2.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return keys_in(answer.json())


def keys_in(answer: dict) -> set[str]:
    return {result["object_key"] for result in answer["results"]}


def test_searches_find_what_is_inside(scoped: httpx2.Client) -> None:
    image = {"file": encoded(picture(OUTSIDE))}
    assert keys(scoped.post("/api/v1/search/text", json={"query": "car", "k": 100})) == INSIDE
    assert keys(scoped.post("/api/v1/search/image", files=image, data={"k": "100"})) == INSIDE
    composed = {"terms": [{"text": "car"}, {"text": "boat", "weight": -1}], "k": 100, "explain": True}
    assert keys(scoped.post("/api/v1/search", json=composed)) == INSIDE
    assert keys(scoped.post("/api/v1/search", json=composed | {"filters": {"min_bytes": 1}})) == INSIDE
    assert scoped.post("/api/v1/search", json={"terms": [{"image_id": image_id_of(OUTSIDE)}]}).status_code == 404
    assert scoped.post("/api/v1/search", json=composed | {"folders": ["nature", "vehicles"]}).status_code == 404
    assert keys(scoped.post("/api/v1/search/text", json={"query": "car -boat", "folders": ["nature"]})) <= INSIDE
    by_words = {"terms": [{"text": "nature"}], "mode": "words"}
    matches = scoped.post("/api/v1/search/matches", json=by_words).json()
    assert set(matches["image_ids"]) == {image_id_of(key) for key in INSIDE}
    assert {each["path"] for each in matches["folders"]} == {"nature", "nature/beach"}
    searches = [{"query": "car", "k": 100, "fold_duplicates": True}, composed, {"query": "car", "folder": "vehicles"}]
    *found, refused = scoped.post("/api/v1/search/batch", json={"searches": searches}).json()["answers"]
    assert [keys_in(answer["result"]) for answer in found] == [INSIDE, INSIDE]
    assert refused["problem"]["status"] == 404
    inside = image_id_of("nature/sunset1.jpg")
    assert keys(scoped.get(f"/api/v1/images/{inside}/similar?k=100")) == INSIDE - {"nature/sunset1.jpg"}
    listed = scoped.post(f"{V2}/search", json={"query": "car", "k": 100}).json()
    listed += scoped.post(f"{V2}/search_by_image", files=image, data={"k": "100"}).json()
    assert {result["folder"] for result in listed} == {"nature", "nature/beach"}
    assert len(listed) == 2 * len(INSIDE)


def test_a_folder_outside_is_neither_found_nor_named_nor_detected(scoped: httpx2.Client) -> None:
    refused = scoped.post("/api/v1/search/text", json={"query": "car", "folder": "vehicle"})
    assert refused.status_code == 404
    assert "vehicles" not in refused.text
    answer = scoped.post("/api/v1/search/text", json={"query": "show me vehicles photos"}).json()
    assert answer["folder"] is None
    assert scoped.post("/api/v1/search/text", json={"query": "show me beach photos"}).json()["folder"] is not None


def test_folders_and_counts(scoped: httpx2.Client) -> None:
    answer = scoped.get("/api/v1/folders").json()
    assert [folder["path"] for folder in answer["folders"]] == ["nature", "nature/beach"]
    assert (answer["root"], answer["count"]) == (0, len(INSIDE))
    index = scoped.get("/api/v1/index").json()
    assert (index["count"], index["folders"]) == (len(INSIDE), 2)


def test_no_route_hands_out_a_picture_from_outside(scoped: httpx2.Client, tmp_path: Path) -> None:
    """All routes of a picture, those of later features too."""
    routes = [
        path
        for path, methods in create_app(Settings()).openapi()["paths"].items()
        if "{image_id}" in path and "get" in methods
    ]
    assert len(routes) >= 3
    for path in routes:
        asked = {"query": "a sunset"} if path.endswith("/explain") else {}
        inside = path.replace("{image_id}", image_id_of("nature/sunset1.jpg"))
        assert scoped.get(path.replace("{image_id}", image_id_of(OUTSIDE)), params=asked).status_code == 404, path
        assert scoped.get(inside, params=asked).status_code == 200, path


def test_lists_and_exports_show_what_is_inside(scoped: httpx2.Client) -> None:
    listed = scoped.get("/api/v1/images").json()
    assert {image["object_key"] for image in listed["images"]} == INSIDE
    assert listed["count"] == len(INSIDE)
    assert scoped.get("/api/v1/images", params={"folder": "vehicles"}).json()["count"] == 0
    exported = np.load(io.BytesIO(scoped.get("/api/v1/export").content))
    assert set(exported["object_keys"].tolist()) == INSIDE


def test_no_route_changes_a_picture_outside(scoped: httpx2.Client) -> None:
    image = {"file": ("a.png", encoded(picture(OUTSIDE)))}
    images, outside = "/api/v1/images", image_id_of(OUTSIDE)
    assert scoped.post(images, files=image, data={"folder": "vehicles"}).status_code == 404
    assert scoped.post(images, files=image).status_code == 404
    for folder in ("vehicles", ""):
        with_files = scoped.post(f"{images}/import", files={"files": image["file"]}, data={"folder": folder})
        by_address = scoped.post(f"{images}/import", json={"urls": ["http://x/"], "folder": folder})
        assert (with_files.status_code, by_address.status_code) == (404, 404)
    assert scoped.patch(f"{images}/{outside}", json={"tags": ["x"]}).status_code == 404
    assert scoped.post(f"{images}/{outside}/caption").status_code == 404
    assert scoped.delete(f"{images}/{outside}").status_code == 404
    by_id = scoped.post(f"{images}/deletions", json={"image_ids": [outside], "dry_run": True}).json()
    assert (by_id["total"], by_id["missing"]) == (0, [outside])
    for selection in ({"filters": {}}, {"filters": {"folder": [""]}}, {"filters": {}, "query": "car", "limit": 100}):
        assert scoped.post(f"{images}/deletions", json=selection | {"dry_run": True}).json()["total"] == len(INSIDE)
