"""Deleting, the trash, and undo: over HTTP."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from app.bootstrap import Parts
from app.catalog.layout import TRASH_PREFIX, is_picture_key
from app.errors import StorageUnavailable
from app.library.editing import deleting
from app.library.editing.trash import Note, Trash, deleted_at, new_deletion_id
from app.settings import DeleteSettings
from app.storage.local import LocalStore
from app.types import image_id_of
from tests.support.service import KEYS, FakeEmbedder, encoded, make_parts, picture, serving_parts, wait_until
from tests.support.stores import WrappedStore

URL = "/api/v1/images"
MANY = f"{URL}/deletions"
KEY = "nature/sunset1.jpg"
ONE = f"{URL}/{image_id_of(KEY)}"


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return make_parts(tmp_path / "bucket")


@pytest.fixture
def client(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as client:
        yield client


def keys_in(parts: Parts) -> set[str]:
    return {info.key for info in parts.store.list() if not info.key.startswith("_")}


def listed(client: httpx2.Client) -> set[str]:
    answer = client.post("/api/v1/search/text", json={"query": "x", "k": 100, "auto_folder": False}).json()
    return {result["object_key"] for result in answer["results"]}


def test_deleted_is_gone_and_undone_is_back(client: httpx2.Client, parts: Parts) -> None:
    client.patch(ONE, json={"tags": ["mine"], "caption": "evening"})
    before, data = client.get(ONE).json(), parts.store.get(KEY).data
    assert client.get(f"{ONE}/thumbnail").status_code == 200
    deletion = client.delete(ONE).json()
    assert (deletion["state"], deletion["count"], deletion["can_undo"]) == ("done", 1, True)
    assert listed(client) == keys_in(parts) == set(KEYS) - {KEY}
    assert not list(parts.store.list("_thumbnails/"))
    for path in ("", "/original", "/thumbnail"):
        assert client.get(ONE + path).status_code == 404
    undone = client.post(f"{MANY}/{deletion['deletion_id']}/undo")
    assert undone.json() == {"restored": [before["image_id"]], "lost": []}
    assert listed(client) == keys_in(parts) == set(KEYS)
    assert parts.store.get(KEY).data == data
    after = client.get(ONE).json()
    assert after | {"modified_at": 0, "date": 0} == before | {"modified_at": 0, "date": 0}
    assert not list(parts.store.list(TRASH_PREFIX))
    assert client.post(f"{MANY}/{deletion['deletion_id']}/undo").status_code == 404


def test_many_by_ids(client: httpx2.Client, parts: Parts) -> None:
    ids = [image_id_of(key) for key in KEYS[:3]]
    answer = client.post(MANY, json={"image_ids": [*ids, "0" * 16, ids[0]]}).json()
    assert (answer["total"], answer["count"], answer["missing"]) == (3, 3, ["0" * 16])
    assert listed(client) == keys_in(parts) == set(KEYS[3:])
    assert set(client.post(f"{MANY}/{answer['deletion_id']}/undo").json()["restored"]) == set(ids)
    assert listed(client) == set(KEYS)


def test_all_that_a_filter_selects(client: httpx2.Client, parts: Parts) -> None:
    selection = {"filters": {"folder": ["nature"]}}
    dry = client.post(MANY, json=selection | {"dry_run": True}).json()
    assert (dry["state"], dry["total"], dry["count"], dry["deletion_id"]) == ("dry_run", 3, 0, None)
    assert listed(client) == keys_in(parts) == set(KEYS)
    assert client.post(MANY, json=selection).json()["count"] == 3
    assert listed(client) == keys_in(parts) == {key for key in KEYS if not key.startswith("nature/")}


def test_the_best_that_a_query_selects(client: httpx2.Client) -> None:
    ranked = client.post("/api/v1/search/text", json={"query": "x", "k": 100, "auto_folder": False}).json()["results"]
    two = client.post(MANY, json={"filters": {}, "query": "x", "limit": 2}).json()
    assert two["count"] == 2
    assert listed(client) == {result["object_key"] for result in ranked[2:]}
    least = ranked[3]["score"] - 1e-6
    assert client.post(MANY, json={"filters": {}, "query": "x", "min_score": least}).json()["count"] == 2
    assert listed(client) == {result["object_key"] for result in ranked[4:]}


def test_select_all_and_an_empty_selection(client: httpx2.Client, parts: Parts) -> None:
    assert client.post(MANY, json={"filters": {"folder": ["nowhere"]}}).json()["state"] == "done"
    assert client.post(MANY, json={"filters": {}}).json()["count"] == len(KEYS)
    assert keys_in(parts) == set()
    assert client.get("/api/v1/folders").json()["count"] == 0


def test_selections_that_may_mean_more_than_was_meant_are_refused(client: httpx2.Client) -> None:
    for body in (
        {},
        {"image_ids": []},
        {"image_ids": ["0" * 16], "filters": {}},
        {"filters": {}, "query": "x"},
        {"filters": {}, "limit": 3},
        {"image_ids": ["0" * 16], "query": "x", "limit": 1},
        {"filters": None},
        {"filters": {"colour": "red"}},
    ):
        assert client.post(MANY, json=body).status_code == 422, body
    assert listed(client) == set(KEYS)


def test_permanently(client: httpx2.Client, parts: Parts, tmp_path: Path) -> None:
    deletion = client.delete(ONE, params={"permanently": "true"}).json()
    assert not deletion["can_undo"]
    assert not list(parts.store.list(TRASH_PREFIX))
    assert client.post(f"{MANY}/{deletion['deletion_id']}/undo").status_code == 404
    always = make_parts(tmp_path / "always", delete=DeleteSettings(mode="permanent"))
    with serving_parts(always) as other:
        assert not other.delete(ONE).json()["can_undo"]
        assert not list(always.store.list(TRASH_PREFIX))


def test_a_key_that_is_taken_meanwhile(client: httpx2.Client, parts: Parts) -> None:
    deletion = client.delete(ONE).json()["deletion_id"]
    other = client.post(URL, files={"file": ("sunset1.jpg", encoded(picture("x"), "JPEG"))}, data={"folder": "nature"})
    assert other.json()["object_key"] == KEY
    (back,) = client.post(f"{MANY}/{deletion}/undo").json()["restored"]
    assert client.get(f"{URL}/{back}").json()["object_key"] == "nature/sunset1-2.jpg"
    assert listed(client) == {*KEYS, "nature/sunset1-2.jpg"}
    assert keys_in(parts) == {*KEYS, "nature/sunset1-2.jpg"}


def test_an_object_that_is_gone_already(client: httpx2.Client, parts: Parts) -> None:
    parts.store.delete(KEY)
    deletion = client.delete(ONE).json()
    assert deletion["count"] == 1
    assert client.post(f"{MANY}/{deletion['deletion_id']}/undo").json() == {"restored": [], "lost": [KEY]}


def test_unknown_ones(client: httpx2.Client) -> None:
    assert client.delete(f"{URL}/{'0' * 16}").status_code == 404
    for name in (new_deletion_id(), "x", "...", "20260101T000000Z-" + "0" * 12):
        assert client.get(f"{MANY}/{name}").status_code == 404
        assert client.post(f"{MANY}/{name}/undo").status_code == 404


def test_a_deletion_that_takes_long_goes_on_by_itself(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch, parts: Parts
) -> None:
    monkeypatch.setattr(deleting, "PATIENCE_S", 0.0)
    monkeypatch.setattr(deleting, "PART", 2)
    answer = client.post(MANY, json={"filters": {}})
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    where = answer.headers["location"]
    wait_until(lambda: client.get(where).json()["state"] == "done")
    assert client.get(where).json()["count"] == len(KEYS)
    assert keys_in(parts) == set()
    assert len(client.post(f"{where}/undo").json()["restored"]) == len(KEYS)
    assert listed(client) == keys_in(parts) == set(KEYS)


class Undeletable(WrappedStore):
    """Can't delete one object."""

    def delete(self, key: str) -> None:
        if key == KEY:
            raise StorageUnavailable("The object is locked.")
        super().delete(key)


def test_what_can_not_be_deleted_stays_and_is_said(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    with serving_parts(replace(parts, store=Undeletable(parts.store))) as client:
        assert client.delete(ONE).status_code == 503
        assert listed(client) == set(KEYS)
        assert client.get(f"{ONE}/original").status_code == 200


def test_undo_is_refused_under_another_model(client: httpx2.Client, parts: Parts, tmp_path: Path) -> None:
    deletion = client.delete(ONE).json()["deletion_id"]
    other = make_parts(tmp_path / "other", FakeEmbedder(fingerprint="other" * 6), keys=())
    with serving_parts(replace(other, store=parts.store)) as stranger:
        answer = stranger.post(f"{MANY}/{deletion}/undo")
        assert answer.status_code == 409
        assert "another model" in answer.json()["detail"]


def test_what_is_old_in_the_trash_is_gone_for_good(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    old, new = "20200101T000000Z-0123456789ab", new_deletion_id()
    for name in (old, new):
        Trash(store, 1e6).keep_note(Note(name, 1, 1, "f"))
    store.put(f"{TRASH_PREFIX}of another program", b"x")
    assert deleted_at(old) == 1577836800
    assert abs(deleted_at(new) - time.time()) < 5
    assert Trash(store, 30).forget_old() == 1
    assert {info.key for info in store.list(TRASH_PREFIX)} == {
        f"{TRASH_PREFIX}{new}/deletion.json",
        f"{TRASH_PREFIX}of another program",
    }


def test_the_service_looks_for_what_is_old(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    old = "20200101T000000Z-0123456789ab"
    Trash(parts.store, 1e6).keep_note(Note(old, 1, 1, "f"))
    with serving_parts(parts):
        wait_until(lambda: not list(parts.store.list(TRASH_PREFIX)))


def test_the_indexer_passes_over_the_trash(client: httpx2.Client, parts: Parts) -> None:
    client.delete(ONE)
    assert not any(is_picture_key(info.key) for info in parts.store.list(TRASH_PREFIX))
