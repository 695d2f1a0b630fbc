"""GET /images/{id}/original: parts of it, and its content type, over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from pathlib import Path

import httpx2
import pytest

from app.bootstrap import Parts
from app.catalog.changes import Changes
from app.library import service
from app.storage.base import ObjectInfo
from app.types import image_id_of
from tests.support.pictures import encoded
from tests.support.service import FakeEmbedder, add_pictures, make_parts, picture, serving_parts
from tests.support.stores import WrappedStore

KEY = "nature/sunset1.jpg"
DATA = encoded(picture(KEY), "JPEG")


def url(key: str) -> str:
    return f"/api/v1/images/{image_id_of(key)}/original"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return make_parts(tmp_path_factory.mktemp("bucket"))


@pytest.fixture(scope="module")
def served(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as client:
        yield client


def test_the_whole_says_that_parts_can_be_had(served: httpx2.Client) -> None:
    for answer in (served.get(url(KEY)), served.head(url(KEY)), served.head(url(KEY), headers={"Range": "bytes=0-1"})):
        assert answer.status_code == 200
        assert answer.headers["accept-ranges"] == "bytes"
        assert int(answer.headers["content-length"]) == len(DATA)


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=10-", 10, len(DATA) - 1), ("bytes=-5", len(DATA) - 5, len(DATA) - 1)],
)
def test_one_part(served: httpx2.Client, header: str, first: int, last: int) -> None:
    whole, answer = served.get(url(KEY)), served.get(url(KEY), headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, DATA[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(DATA)}"
    assert int(answer.headers["content-length"]) == last - first + 1
    for name in ("content-type", "etag", "cache-control", "content-disposition", "x-content-type-options"):
        assert answer.headers[name] == whole.headers[name], name


def test_several_parts(served: httpx2.Client) -> None:
    answer = served.get(url(KEY), headers={"Range": "bytes=20-29,0-4"})
    assert answer.status_code == 206
    assert "content-range" not in answer.headers
    message = message_from_bytes(
        f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode() + answer.content.removeprefix(b"\r\n")
    )
    got = [(part.get_content_type(), part["content-range"], part.get_payload(decode=True)) for part in message.walk()]
    assert got[1:] == [
        ("image/jpeg", f"bytes 20-29/{len(DATA)}", DATA[20:30]),
        ("image/jpeg", f"bytes 0-4/{len(DATA)}", DATA[:5]),
    ]
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_a_part_behind_the_end(served: httpx2.Client) -> None:
    answer = served.get(url(KEY), headers={"Range": f"bytes={len(DATA)}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(DATA)}"
    assert answer.json()["type"] == "urn:image2search:problem:no-such-part"
    assert f"{len(DATA):,} bytes" in answer.json()["detail"]


def test_a_download_is_resumed_only_for_the_same_file(served: httpx2.Client) -> None:
    etag = served.get(url(KEY)).headers["etag"]
    same = served.get(url(KEY), headers={"Range": "bytes=100-", "If-Range": etag})
    assert (same.status_code, same.content) == (206, DATA[100:])
    other = served.get(url(KEY), headers={"Range": "bytes=100-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, DATA)
    known = served.get(url(KEY), headers={"Range": "bytes=100-", "If-None-Match": etag})
    assert known.status_code == 304


def test_a_large_part_is_read_piece_by_piece(
    parts: Parts, served: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PART_BYTES", 7)
    answer = served.get(url(KEY), headers={"Range": "bytes=3-99"})
    assert answer.content == DATA[3:100]
    several = served.get(url(KEY), headers={"Range": "bytes=3-49,60-99"})
    assert DATA[3:50] in several.content
    assert DATA[60:100] in several.content


class PackedStore(WrappedStore):
    """Whose objects say that they are compressed: their size is not that of the picture."""

    def head(self, key: str) -> ObjectInfo:
        return replace(self.inner.head(key), packed=True)


def test_a_packed_file_has_neither_length_nor_parts(parts: Parts) -> None:
    with serving_parts(replace(parts, store=PackedStore(parts.store))) as client:
        for ask in (client.get, client.head):
            answer = ask(url(KEY), headers={"Range": "bytes=0-1"})
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
            assert {"content-length", "accept-ranges"}.isdisjoint(answer.headers)
        assert client.get(url(KEY)).content == DATA


def test_an_object_that_is_gone(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, keys=(KEY,))
    parts.store.delete(KEY)
    with serving_parts(parts) as client:
        assert client.get(url(KEY), headers={"Range": "bytes=0-1"}).status_code == 404


@pytest.mark.parametrize(
    ("name", "kind", "said", "content_type"),
    [
        ("really.jpg", "PNG", None, "image/png"),
        ("no suffix", "WEBP", None, "image/webp"),
        ("photo.jpg?width=8", "JPEG", None, "image/jpeg"),
        ("said.gif", "GIF", "GIF", "image/gif"),
        ("page.jpg", None, None, "image/jpeg"),
        ("page", None, None, "application/octet-stream"),
    ],
)
def test_the_content_type_is_the_content_s(
    tmp_path: Path, name: str, kind: str | None, said: str | None, content_type: str
) -> None:
    """What is no picture any more goes by its name, and never as something that a browser runs."""
    parts = make_parts(tmp_path, keys=())
    data = encoded(picture(name), kind) if kind else b"<html><script>alert(1)</script>"
    changes = add_pictures(parts.store, FakeEmbedder(), ["a.png"])
    etag = parts.store.put(name, data)
    record = replace(changes.added[0], image_id=image_id_of(name), object_key=name, etag=etag, format=said)
    parts.catalog.publish(Changes((record,), changes.vectors), FakeEmbedder().identity)
    with serving_parts(parts) as client:
        for headers in ({}, {"Range": "bytes=0-3"}):
            answer = client.get(url(name), headers=headers)
            assert answer.headers["content-type"] == content_type
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.head(url(name)).headers["content-type"] == content_type


def test_a_file_that_was_replaced_is_not_called_what_it_was(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, keys=())
    changes = add_pictures(parts.store, FakeEmbedder(), ["a.png"])
    record = replace(changes.added[0], format="PNG")
    parts.catalog.publish(replace(changes, added=(record,)), FakeEmbedder().identity)
    parts.store.put("a.png", encoded(picture("a.png"), "GIF"))
    with serving_parts(parts) as client:
        assert client.get(url("a.png")).headers["content-type"] == "image/gif"
