"""GET /folders and /images/{id}, over HTTP."""

import io
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from app.bootstrap import Parts
from app.library.routes import FOR_GOOD
from app.types import Source, hash_content, image_id_of
from tests.support.service import KEYS, FakeEmbedder, add_pictures, encoded, make_parts, picture, serving_parts
from tests.support.stores import WrappedStore

KEY = "nature/mountain view.jpg"
URL = f"/api/v1/images/{image_id_of(KEY)}"


def test_folders(client: httpx2.Client) -> None:
    answer = client.get("/api/v1/folders").json()
    assert answer["folders"] == [
        {"path": "animals", "direct": 2, "nested": 2},
        {"path": "nature", "direct": 2, "nested": 3},
        {"path": "nature/beach", "direct": 1, "nested": 1},
        {"path": "vehicles", "direct": 1, "nested": 1},
    ]
    assert (answer["root"], answer["count"]) == (1, len(KEYS))
    assert answer["generation"]


def test_image(client: httpx2.Client, parts: Parts) -> None:
    answer = client.get(URL).json()
    info = parts.store.head(KEY)
    assert answer == {
        "image_id": image_id_of(KEY),
        "object_key": KEY,
        "folder": "nature",
        "s3_path": parts.store.uri(KEY),
        "image_url": str(client.base_url.join(f"{URL}/original")),
        "thumbnail_url": str(client.base_url.join(f"{URL}/thumbnail?v={hash_content(parts.store.get(KEY).data)[:12]}")),
        "caption": None,
        "caption_by": None,
        "tags": [],
        "format": "JPEG",
        "width": 60,
        "height": 40,
        "size_bytes": info.size_bytes,
        "date": "2001-09-09T01:46:40Z",
        "taken_at": None,
        "modified_at": "2001-09-09T01:46:40Z",
        "added_at": None,
        "camera": None,
        "location": None,
        "source": None,
        "etag": info.etag,
    }


def test_an_image_with_all_that_can_be_known(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, keys=())
    changes = add_pictures(parts.store, FakeEmbedder(), ["a.jpg"])
    source = Source(
        url="https://example.org/1.jpg",
        page_url="https://example.org/1",
        title="Sunset",
        creator="Ann",
        license="CC BY 2.0",
        license_url="https://example.org/by",
        attribution="Sunset by Ann",
    )
    record = replace(
        changes.added[0],
        caption="a sunset",
        caption_by="person",
        tags=("sea", "sun"),
        format="JPEG",
        added_at=1.75e9,
        taken_at=1.5e9,
        camera="Canon EOS R5",
        location=(52.5, -13.25),
        source=source,
    )
    parts.catalog.publish(replace(changes, added=(record,)), FakeEmbedder().identity)
    with serving_parts(parts) as client:
        answer = client.get(f"/api/v1/images/{record.image_id}").json()
    assert {name: answer[name] for name in ("caption", "caption_by", "tags", "camera", "location", "source")} == {
        "caption": "a sunset",
        "caption_by": "person",
        "tags": ["sea", "sun"],
        "camera": "Canon EOS R5",
        "location": {"latitude": 52.5, "longitude": -13.25},
        "source": asdict(source),
    }
    assert answer["taken_at"] == answer["date"] == "2017-07-14T02:40:00Z"
    assert (answer["modified_at"], answer["added_at"]) == ("2001-09-09T01:46:40Z", "2025-06-15T15:06:40Z")


@pytest.mark.parametrize(
    "image_id", ["0" * 16, "x", "00 11 22 33 44 55 66 77", image_id_of(KEY).upper() + "0", "a" * 99]
)
@pytest.mark.parametrize("path", ["", "/original", "/thumbnail"])
def test_unknown_image(client: httpx2.Client, image_id: str, path: str) -> None:
    answer = client.get(f"/api/v1/images/{image_id}{path}")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:image2search:problem:image-not-found"


def test_original(client: httpx2.Client, parts: Parts) -> None:
    answer = client.get(f"{URL}/original")
    assert answer.content == parts.store.get(KEY).data
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''mountain%20view.jpg"
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("path", ["original", "thumbnail"])
def test_unchanged_pictures_are_not_sent_again(client: httpx2.Client, path: str) -> None:
    etag = client.get(f"{URL}/{path}").headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = client.get(f"{URL}/{path}", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    assert client.get(f"{URL}/{path}", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("path", "cached"),
    [
        ("original", "private, no-cache"),
        ("thumbnail", "private, max-age=300"),
        ("thumbnail?v=000000000000", "private, max-age=300"),
    ],
)
def test_browsers_keep_thumbnails_for_minutes(client: httpx2.Client, path: str, cached: str) -> None:
    answer = client.get(f"{URL}/{path}")
    unchanged = client.get(f"{URL}/{path}", headers={"If-None-Match": answer.headers["etag"]})
    assert answer.headers["cache-control"] == unchanged.headers["cache-control"] == cached


@pytest.mark.parametrize("path", ["", "/original", "/thumbnail"])
def test_head_answers_as_get_without_the_body(client: httpx2.Client, path: str) -> None:
    """RFC 9110, 9.3.2."""
    got, asked = client.get(URL + path), client.head(URL + path)
    assert (asked.status_code, asked.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "content-disposition", "x-content-type-options"):
        assert asked.headers.get(name) == got.headers.get(name), name
    assert int(asked.headers["content-length"]) == len(got.content)
    assert client.head(f"/api/v1/images/{'0' * 16}{path}").status_code == 404


class UnreadStore(WrappedStore):
    """Whose pictures nobody may read."""

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        raise AssertionError(key)


def test_head_of_an_original_does_not_read_it(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    size = parts.store.head(KEY).size_bytes
    with serving_parts(replace(parts, store=UnreadStore(parts.store))) as client:
        answer = client.head(f"{URL}/original")
        assert (answer.status_code, answer.headers["content-length"]) == (200, str(size))
        etag = answer.headers["etag"]
        assert client.head(f"{URL}/original", headers={"If-None-Match": etag}).status_code == 304


def test_thumbnail(client: httpx2.Client, parts: Parts) -> None:
    answer = client.get(f"{URL}/thumbnail")
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert Image.open(io.BytesIO(answer.content)).size == (60, 40)
    assert parts.store.get(f"_thumbnails/{image_id_of(KEY)}.webp").data == answer.content


def test_the_address_in_answers_names_the_content_and_is_kept_for_good(client: httpx2.Client) -> None:
    address = client.get(URL).json()["thumbnail_url"]
    for url in (address, f"{address}&size=large"):
        answer = client.get(url)
        unchanged = client.get(url, headers={"If-None-Match": answer.headers["etag"]})
        assert (answer.status_code, unchanged.status_code) == (200, 304)
        assert answer.headers["cache-control"] == unchanged.headers["cache-control"] == FOR_GOOD


def test_a_picture_that_changed_after_it_was_indexed_is_not_kept_under_the_old_address(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    with serving_parts(parts) as client:
        address = client.get(URL).json()["thumbnail_url"]
        before = client.get(address).headers["etag"]
        parts.store.put(KEY, encoded(picture(KEY, (90, 70)), "JPEG"))
        parts.store.delete(f"_thumbnails/{image_id_of(KEY)}.webp")
        answer = client.get(address)
        assert Image.open(io.BytesIO(answer.content)).size == (90, 70)
        assert answer.headers["cache-control"] == "private, max-age=300"
        assert answer.headers["etag"] != before


def test_the_sizes_of_thumbnails(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    parts.store.put(KEY, encoded(picture(KEY, (1600, 1200)), "JPEG"))
    with serving_parts(parts) as client:
        small, large = (client.get(f"{URL}/thumbnail", params={"size": size}) for size in ("small", "large"))
        assert [Image.open(io.BytesIO(each.content)).size for each in (small, large)] == [(256, 192), (1024, 768)]
        assert small.headers["etag"] != large.headers["etag"]
        assert client.get(f"{URL}/thumbnail").content == small.content
        wrong = client.get(f"{URL}/thumbnail", params={"size": "huge"})
        assert wrong.status_code == 422
        assert "'small' or 'large'" in wrong.text


def test_a_picture_that_went_after_it_was_indexed(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    parts.store.delete(KEY)
    with serving_parts(parts) as client:
        assert client.get(URL).status_code == 200
        for path in ("original", "thumbnail"):
            answer = client.get(f"{URL}/{path}")
            assert answer.status_code == 404
            assert answer.json()["type"] == "urn:image2search:problem:object-not-found"


def test_a_large_original_arrives_whole(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    data = encoded(picture(KEY, (2000, 1500)), "BMP")
    parts.store.put(KEY, data)
    assert len(data) > 3 << 20
    with serving_parts(parts) as client:
        assert client.get(f"{URL}/original").content == data


@pytest.mark.parametrize(
    ("modified_at", "shown"),
    [(910692730085.0, "9999-12-31T23:59:59Z"), (1e300, "9999-12-31T23:59:59Z"), (-1e300, "0001-01-01T00:00:00Z")],
)
def test_a_date_that_no_calendar_has_is_shown_as_the_last_or_first_one(
    tmp_path: Path, modified_at: float, shown: str
) -> None:
    """tmpfs, btrfs and SMB can hold a file dated in the year 30828."""
    parts = make_parts(tmp_path, keys=())
    changes = add_pictures(parts.store, FakeEmbedder(), ["a.jpg"])
    dated = replace(changes, added=(replace(changes.added[0], modified_at=modified_at),))
    parts.catalog.publish(dated, FakeEmbedder().identity)
    with serving_parts(parts) as client:
        answer = client.get(f"/api/v1/images/{changes.added[0].image_id}")
    assert (answer.status_code, answer.json()["modified_at"]) == (200, shown)
