"""GET /atlas and /atlas/{page}, over HTTP."""

import io
from collections.abc import Iterator

import httpx2
import pytest
from PIL import Image

from app.bootstrap import Parts
from app.catalog.view import View
from app.http.requests import view_source
from app.library.atlas.schemas import EXAMPLE, AtlasInfo
from app.library.routes import FOR_GOOD, SHORTLY
from app.main import create_app
from app.types import image_id_of
from tests.support.service import KEYS, FakeEmbedder, add_pictures, make_parts, serving, wait_until

URL = "/api/v1/atlas"


def test_the_places_and_their_pages(client: httpx2.Client) -> None:
    answer = client.get(URL)
    atlas = AtlasInfo.model_validate_json(answer.content)
    assert answer.headers["content-type"] == "application/json"
    assert (atlas.cell, atlas.count) == (64, len(KEYS))
    assert {image.id for image in atlas.images} == {image_id_of(key) for key in KEYS}
    (info,) = atlas.pages
    assert info.url.startswith(str(client.base_url.join("/api/v1/atlas/0?cell=64&v=")))
    page = client.get(info.url)
    assert page.headers["content-type"] == "image/webp"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert Image.open(io.BytesIO(page.content)).size == (info.width, info.height)
    assert all(image.x + image.w <= info.width and image.y + image.h <= info.height for image in atlas.images)


def test_the_documented_example_is_an_answer() -> None:
    AtlasInfo.model_validate(EXAMPLE)


def test_an_address_with_its_version_is_kept_for_good(client: httpx2.Client) -> None:
    url = client.get(URL).json()["pages"][0]["url"]
    assert client.get(url).headers["cache-control"] == FOR_GOOD
    for other in (f"{URL}/0", f"{URL}/0?v=0000000000000000"):
        assert client.get(other).headers["cache-control"] == SHORTLY
    etag = client.get(url).headers["etag"]
    unchanged = client.get(url, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_unchanged_places_are_not_sent_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    parts = make_parts(tmp_path_factory.mktemp("bucket"))
    with serving(create_app(parts.settings, parts)) as client:
        etag = client.get(URL).headers["etag"]
        assert client.get(URL, headers={"If-None-Match": etag}).status_code == 304
        assert client.get(URL, params={"cell": 32}, headers={"If-None-Match": etag}).status_code == 200
        parts.catalog.publish(add_pictures(parts.store, FakeEmbedder(), ["more.jpg"]), FakeEmbedder().identity)
        wait_until(lambda: client.get(URL, headers={"If-None-Match": etag}).status_code == 200)
        assert client.get(URL).json()["count"] == len(KEYS) + 1


@pytest.mark.parametrize("cell", [32, 128, 256])
def test_other_sizes_of_cells(client: httpx2.Client, cell: int) -> None:
    answer = client.get(URL, params={"cell": cell}).json()
    assert answer["cell"] == cell
    assert {(image["w"], image["h"]) for image in answer["images"]} == {(min(cell, 60), min(round(cell * 2 / 3), 40))}
    page = client.get(answer["pages"][0]["url"])
    assert Image.open(io.BytesIO(page.content)).size == (len(KEYS) * cell, cell)


@pytest.mark.parametrize("path", ["", "/0"])
def test_head_answers_as_get_without_the_body(client: httpx2.Client, path: str) -> None:
    got, asked = client.get(URL + path), client.head(URL + path)
    assert (asked.status_code, asked.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "cache-control"):
        assert asked.headers.get(name) == got.headers.get(name), name


@pytest.mark.parametrize(
    ("path", "status"),
    [("?cell=63", 422), ("?cell=x", 422), ("/1", 404), ("/-1", 404), ("/x", 422), ("/0?cell=5", 422)],
)
def test_what_does_not_exist(client: httpx2.Client, path: str, status: int) -> None:
    answer = client.get(URL + path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.fixture(scope="module")
def scoped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    parts: Parts = make_parts(tmp_path_factory.mktemp("bucket"))
    snapshot = parts.catalog.load()
    assert snapshot is not None
    app = create_app(parts.settings, parts)
    app.dependency_overrides[view_source] = lambda: lambda: View(snapshot, ["nature"])
    with serving(app) as client:
        yield client


def test_a_caller_with_a_narrow_view_gets_an_atlas_of_that(scoped: httpx2.Client) -> None:
    answer = scoped.get(URL).json()
    assert {image["id"] for image in answer["images"]} == {image_id_of(k) for k in KEYS if k.startswith("nature/")}
    page = Image.open(io.BytesIO(scoped.get(answer["pages"][0]["url"]).content))
    assert page.size == (3 * 64, 64), "no cell for any other picture"
