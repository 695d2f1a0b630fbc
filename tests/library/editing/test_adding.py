"""POST /images and PATCH: over HTTP, a picture is there when the answer is."""

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from app.bootstrap import Parts
from app.errors import IndexCorrupt, StorageUnavailable
from app.settings import ImageSettings, IndexSettings, ServerSettings, Settings, StorageSettings
from app.storage.base import ObjectStore
from app.types import image_id_of
from tests.support.catalogs import catalog_on
from tests.support.service import FakeEmbedder, encoded, make_parts, picture, serving_parts, wait_until
from tests.support.stores import WrappedStore, store_at

URL = "/api/v1/images"


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return make_parts(tmp_path / "bucket", image=ImageSettings(max_bytes=200_000, max_pixels=1_000_000))


@pytest.fixture
def client(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as client:
        yield client


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx2.Client, Parts]]:
    """A service for requests that change nothing."""
    images = ImageSettings(max_bytes=200_000, max_pixels=1_000_000)
    parts = make_parts(tmp_path_factory.mktemp("bucket"), image=images)
    with serving_parts(parts) as client:
        yield client, parts


def add(client: httpx2.Client, seed: str, name: str = "new.png", **fields: object) -> httpx2.Response:
    return client.post(URL, files={"file": (name, encoded(picture(seed)))}, data=fields)


def found_by(client: httpx2.Client, seed: str) -> list[str]:
    answer = client.post("/api/v1/search/image", files={"file": encoded(picture(seed))}, data={"k": "3"})
    return [result["object_key"] for result in answer.json()["results"] if result["score"] > 0.999]


def test_a_picture_is_found_when_the_answer_is_there(client: httpx2.Client, parts: Parts) -> None:
    answer = add(client, "x", folder="new/place", tags=["a", "b", " a "], caption=" mine ")
    assert answer.status_code == 201
    info = answer.json()
    assert (info["object_key"], info["folder"]) == ("new/place/new.png", "new/place")
    assert (info["caption"], info["caption_by"], info["tags"]) == ("mine", "person", ["a", "b"])
    assert (info["width"], info["height"], info["format"]) == (60, 40, "PNG")
    assert info["added_at"] is not None
    assert info["etag"] == parts.store.head("new/place/new.png").etag
    assert found_by(client, "x") == ["new/place/new.png"]
    assert client.get(answer.headers["location"]).json() == info
    assert client.get(f"{URL}/{info['image_id']}/original").content == encoded(picture("x"))
    assert "new/place" in {folder["path"] for folder in client.get("/api/v1/folders").json()["folders"]}


def test_the_same_content_in_the_same_folder_is_the_picture_that_is_there(client: httpx2.Client) -> None:
    first = add(client, "x", folder="a").json()
    again = add(client, "x", name="other name.png", folder="a")
    assert (again.status_code, again.json()) == (200, first)
    elsewhere = add(client, "x", folder="b")
    assert (elsewhere.status_code, elsewhere.json()["object_key"]) == (201, "b/new.png")


def test_a_name_that_is_taken_gets_a_number(client: httpx2.Client, parts: Parts) -> None:
    parts.store.put("a/new-2.png", b"of another program, not indexed")
    keys = [add(client, seed, folder="a").json()["object_key"] for seed in "xyz"]
    assert keys == ["a/new.png", "a/new-3.png", "a/new-4.png"]
    assert parts.store.get("a/new-2.png").data == b"of another program, not indexed"


def test_an_object_of_the_same_bytes_that_is_not_indexed_is_taken_in(client: httpx2.Client, parts: Parts) -> None:
    parts.store.put("a/new.png", encoded(picture("x")))
    assert add(client, "x", folder="a").json()["object_key"] == "a/new.png"


def test_into_an_empty_library(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path, keys=())) as client:
        assert client.get("/health/ready").status_code == 503
        assert add(client, "x").status_code == 201
        assert client.get("/health/ready").status_code == 200
        assert found_by(client, "x") == ["new.png"]


def test_32_clients_at_once_lose_nothing_and_share_journals(client: httpx2.Client, parts: Parts) -> None:
    before = parts.catalog.pointer()
    assert before is not None
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda seed: add(client, str(seed), folder="crowd"), range(64)))
    assert {answer.status_code for answer in answers} == {201}
    keys = {answer.json()["object_key"] for answer in answers}
    assert len(keys) == 64
    assert {info.key for info in parts.store.list("crowd/")} == keys
    snapshot = parts.catalog.load()
    assert snapshot is not None
    assert {record.object_key for record in snapshot.records.values()} >= keys
    assert snapshot.pointer.journal - before.journal < 48


def test_32_clients_with_one_picture_add_it_once(client: httpx2.Client, parts: Parts) -> None:
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: add(client, "x", folder="crowd"), range(32)))
    assert sorted(answer.status_code for answer in answers) == [200] * 31 + [201], [each.text for each in answers]
    assert len({answer.json()["image_id"] for answer in answers}) == 1
    assert [info.key for info in parts.store.list("crowd/")] == ["crowd/new.png"]


def test_another_replica_finds_it_by_its_next_poll(client: httpx2.Client, parts: Parts) -> None:
    with serving_parts(parts) as replica:
        image_id = add(client, "x").json()["image_id"]
        wait_until(lambda: replica.get(f"{URL}/{image_id}").status_code == 200)
        assert found_by(replica, "x") == ["new.png"]
        assert client.delete(f"{URL}/{image_id}").status_code == 200
        wait_until(lambda: replica.get(f"{URL}/{image_id}").status_code == 404)
        assert found_by(replica, "x") == []


@pytest.mark.parametrize(
    ("data", "status", "kind"),
    [
        (b"", 400, "invalid-image"),
        (b"<html>" * 10, 400, "invalid-image"),
        (b"%PDF-1.7", 415, "unsupported-type"),
        (encoded(Image.new("RGB", (2000, 2000))), 413, "too-large"),
        (encoded(picture("x"))[:90], 400, "invalid-image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(210_000), 413, "too-large"),
    ],
)
def test_what_is_no_picture_is_refused_and_leaves_nothing(
    refusing: tuple[httpx2.Client, Parts], data: bytes, status: int, kind: str
) -> None:
    client, parts = refusing
    answer = client.post(URL, files={"file": ("x.png", data)}, data={"folder": "bad"})
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, kind)
    assert not list(parts.store.list("bad/"))


@pytest.mark.parametrize("folder", ["../x", ".git", "_index", "a//b", "@eaDir/x"])
def test_folders_that_are_never_indexed_are_refused(refusing: tuple[httpx2.Client, Parts], folder: str) -> None:
    assert add(refusing[0], "x", folder=folder).status_code == 400


@pytest.mark.parametrize(
    ("content_type", "body", "status", "said"),
    [
        ("application/json", b"{", 422, "not JSON"),
        ("application/json", b"[]", 422, "JSON object"),
        ("application/json", b'{"url": 5}', 422, "url"),
        ("application/json", b'{"url": "http://x/", "colour": 1}', 422, "colour"),
        ("application/json", b'{"url": "http://127.0.0.1/a.png"}', 400, "public"),
        ("text/plain", b"x", 415, "multipart/form-data or application/json"),
        ("multipart/form-data", b"x", 400, "boundary"),
    ],
)
def test_bodies_that_say_nothing_useful(
    refusing: tuple[httpx2.Client, Parts], content_type: str, body: bytes, status: int, said: str
) -> None:
    answer = refusing[0].post(URL, content=body, headers={"content-type": content_type})
    assert answer.status_code == status
    assert said in answer.json()["detail"]


def test_only_pages_that_may_can_add(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, server=ServerSettings(cors_origins="https://shop.example"))
    with serving_parts(parts) as client:

        def status(**headers: str) -> int:
            files = {"file": ("new.png", encoded(picture("x")))}
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return client.post(URL, files=files, headers=names).status_code

        assert status(sec_fetch_site="cross-site", origin="https://evil.example") == 403
        assert status(origin="https://evil.example") == 403
        assert status(sec_fetch_site="cross-site", origin="https://shop.example") == 201
        assert status(sec_fetch_site="same-origin") == 200


class FailingPublications(WrappedStore):
    """Writes pictures, but no index."""

    def put(self, key: str, body: object, **options: object) -> str:
        if key.startswith("_index/"):
            raise StorageUnavailable("The disk is full.")
        return super().put(key, body, **options)  # type: ignore[arg-type]


def test_a_publication_whose_outcome_is_unknown_keeps_the_object(tmp_path: Path) -> None:
    """The next index run finds it, and so does the client that sends it again."""
    parts = make_parts(tmp_path)
    broken = replace(parts, catalog=catalog_on(FailingPublications(parts.store), parts.settings.index))
    with serving_parts(broken) as client:
        assert add(client, "x").status_code == 503
        assert found_by(client, "x") == []
    with serving_parts(parts) as client:
        assert add(client, "x").json()["object_key"] == "new.png"


class FirstPublicationRefused(WrappedStore):
    """Refuses the first publication, once a second client has come across the object of the first, or not."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.second = threading.Event()
        self.puts = 0
        self.refused = False

    def put(self, key: str, body: object, **options: object) -> str:
        if key == "new.png":
            self.puts += 1
            if self.puts == 2:
                self.second.set()
        if key.startswith("_index/") and not self.refused:
            self.second.wait(0.5)
            self.refused = True
            raise IndexCorrupt("The index is damaged.")
        return super().put(key, body, **options)  # type: ignore[arg-type]


def test_an_object_that_is_taken_back_is_relied_on_by_no_other_client(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    store = FirstPublicationRefused(parts.store)
    shared = replace(parts, store=store, catalog=catalog_on(store, parts.settings.index))
    with serving_parts(shared) as client, ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: add(client, "x"), range(2)))
        assert sorted(answer.status_code for answer in answers) == [201, 503]
        assert found_by(client, "x") == ["new.png"]
        assert client.get(f"{URL}/{image_id_of('new.png')}/original").content == encoded(picture("x"))


def test_words_are_set_and_kept(client: httpx2.Client) -> None:
    url = f"{URL}/{image_id_of('top.png')}"
    info = client.patch(url, json={"caption": "Anna", "tags": ["b", "a", "b"]}).json()
    assert (info["caption"], info["caption_by"], info["tags"]) == ("Anna", "person", ["b", "a"])
    assert client.patch(url, json={}).json() == info
    assert client.patch(url, json={"caption": None}).json() == info | {"caption": None}
    assert client.patch(url, json={"tags": []}).json()["tags"] == []
    assert client.get(url).json()["tags"] == []


@pytest.mark.parametrize(
    "body", [{"tags": ["x" * 101]}, {"tags": [str(n) for n in range(65)]}, {"caption": "x" * 2001}, {"tag": ["x"]}, []]
)
def test_words_that_are_too_many(refusing: tuple[httpx2.Client, Parts], body: object) -> None:
    answer = refusing[0].patch(f"{URL}/{image_id_of('top.png')}", json=body)
    assert answer.status_code in (400, 422)


def test_words_of_an_unknown_picture(refusing: tuple[httpx2.Client, Parts]) -> None:
    assert refusing[0].patch(f"{URL}/{'0' * 16}", json={"tags": ["x"]}).status_code == 404


def test_a_photograph_is_as_its_exif_says(client: httpx2.Client) -> None:
    image = picture("x")
    exif = Image.Exif()
    exif[0x0112] = 6
    data = io.BytesIO()
    image.save(data, "JPEG", exif=exif)
    info = client.post(URL, files={"file": ("IMG.HEIC", data.getvalue())}).json()
    assert (info["width"], info["height"], info["object_key"]) == (40, 60, "IMG.jpg")


def test_the_embedder_is_not_asked_for_what_is_there(tmp_path: Path) -> None:
    embedder = FakeEmbedder()
    with serving_parts(make_parts(tmp_path, embedder)) as client:
        add(client, "x")
        passes = embedder.pictures
        add(client, "x")
        assert embedder.pictures == passes


def test_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    """Upload, search, delete and undo over S3, with the index in the same bucket."""
    settings = Settings(storage=StorageSettings(url=f"s3://{bucket}/library"), index=IndexSettings(poll_s=0.1))
    store = store_at(settings.storage.url)
    parts = replace(make_parts(tmp_path, keys=()), settings=settings, store=store, index_store=store)
    with serving_parts(replace(parts, catalog=catalog_on(store, settings.index))) as client:
        info = add(client, "x", folder="a b/ü", caption="ours").json()
        assert info["s3_path"] == f"s3://{bucket}/library/a b/ü/new.png"
        assert found_by(client, "x") == ["a b/ü/new.png"]
        assert httpx2.get(info["image_url"]).content == encoded(picture("x"))
        assert (add(client, "x", folder="a b/ü").status_code, add(client, "y", folder="a b/ü").status_code) == (
            200,
            201,
        )
        deletion = client.delete(f"{URL}/{info['image_id']}").json()["deletion_id"]
        assert found_by(client, "x") == []
        assert [each.key for each in store.list("a b/")] == ["a b/ü/new-2.png"]
        assert client.post(f"{URL}/deletions/{deletion}/undo").json()["restored"] == [info["image_id"]]
        assert found_by(client, "x") == ["a b/ü/new.png"]
        assert client.get(f"{URL}/{info['image_id']}").json()["caption"] == "ours"
        assert {each.key.partition("/")[0] for each in store.list()} == {"a b", "_index"}
