"""POST /images/{id}/caption, and captions of pictures that are added: by one captioner, for many callers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from app.bootstrap import Parts
from app.errors import ModelUnavailable
from app.models.captioner.lazy import LazyCaptioner
from app.settings import BatchSettings, ServerSettings
from app.types import image_id_of
from tests.support.captions import NAME, FakeCaptioner, caption_of, lazily
from tests.support.service import DEADLINE_S, encoded, make_parts, picture, serving_parts, wait_until

URL = "/api/v1/images"
KEY = "nature/beach/waves.png"
PICTURE = f"{URL}/{image_id_of(KEY)}"


@pytest.fixture
def captioner() -> FakeCaptioner:
    return FakeCaptioner()


@pytest.fixture
def parts(tmp_path: Path, captioner: FakeCaptioner) -> Parts:
    return replace(make_parts(tmp_path), captioner=lazily(captioner))


@pytest.fixture
def client(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as client:
        yield client


def said(key: str) -> str:
    return caption_of(FakeCaptioner.resize.shrink(picture(key)))


def test_a_picture_is_described_and_found_with_its_caption(client: httpx2.Client, parts: Parts) -> None:
    answer = client.post(f"{PICTURE}/caption")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["caption"], answer.json()["caption_by"]) == (said(KEY), NAME)
    assert client.get(PICTURE).json() == answer.json()
    hits = client.post("/api/v1/search/image", files={"file": encoded(picture(KEY))}).json()["results"]
    assert {hit["object_key"]: hit["caption"] for hit in hits}[KEY] == said(KEY)
    snapshot = parts.catalog.load()
    assert snapshot is not None
    assert [each.caption for each in snapshot.records.values() if each.object_key == KEY] == [said(KEY)]


def test_words_of_a_person_are_replaced_on_request_alone(client: httpx2.Client) -> None:
    client.patch(PICTURE, json={"caption": "Anna at the sea", "tags": ["sea"]})
    refused = client.post(f"{PICTURE}/caption", json={})
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (409, "conflict")
    assert "A person has written the caption" in refused.json()["detail"]
    assert client.get(PICTURE).json()["caption"] == "Anna at the sea"
    replaced = client.post(f"{PICTURE}/caption", json={"replace": True}).json()
    assert (replaced["caption"], replaced["caption_by"], replaced["tags"]) == (said(KEY), NAME, ["sea"])
    client.patch(PICTURE, json={"caption": None})
    assert "A person has deleted the caption" in client.post(f"{PICTURE}/caption").json()["detail"]


def test_without_a_captioner_it_says_what_to_set(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path)) as client:
        answer = client.post(f"{PICTURE}/caption")
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (501, "not-configured")
        assert "Set CAPTION_MODEL to `demo`" in answer.json()["detail"]
        job = client.post("/api/v1/index/jobs", json={"captions": True})
        assert (job.status_code, job.json()["detail"]) == (501, answer.json()["detail"])


def test_pictures_that_are_not_there_or_not_as_indexed(client: httpx2.Client, parts: Parts) -> None:
    assert client.post(f"{URL}/{'0' * 16}/caption").status_code == 404
    assert client.post(f"{PICTURE}/caption", json={"replace": 1}).status_code == 422
    assert client.post(f"{PICTURE}/caption", params={"replace": "true"}).status_code == 422
    parts.store.put(KEY, encoded(picture("another")))
    changed = client.post(f"{PICTURE}/caption")
    assert (changed.status_code, changed.json()["type"].rpartition(":")[2]) == (409, "conflict")
    parts.store.delete(KEY)
    assert client.post(f"{PICTURE}/caption").status_code == 404


def test_a_read_only_service_writes_no_caption(tmp_path: Path, captioner: FakeCaptioner) -> None:
    parts = replace(make_parts(tmp_path, server=ServerSettings(read_only=True)), captioner=lazily(captioner))
    with serving_parts(parts) as client:
        assert client.post(f"{PICTURE}/caption").status_code == 403
    assert not captioner.batches


def test_added_pictures_get_a_caption_unless_they_bring_one(client: httpx2.Client, captioner: FakeCaptioner) -> None:
    added = client.post(URL, files={"file": ("new.png", encoded(picture("x")))}).json()
    assert (added["caption"], added["caption_by"]) == (said("x"), NAME)
    files = {"file": ("mine.png", encoded(picture("y")))}
    mine = client.post(URL, files=files, data={"caption": "ours"}).json()
    assert (mine["caption"], mine["caption_by"], captioner.described) == ("ours", "person", 1)
    imported = client.post(f"{URL}/import", files=[("files", ("z.png", encoded(picture("z"))))])
    assert imported.status_code == 202, imported.text
    url = f"{URL}/{image_id_of('z.png')}"
    wait_until(lambda: client.get(url).status_code == 200)
    assert client.get(url).json()["caption"] == said("z")


def test_a_failing_captioner_costs_no_picture(client: httpx2.Client, captioner: FakeCaptioner) -> None:
    captioner.refused = {said("x"), said(KEY)}
    added = client.post(URL, files={"file": ("new.png", encoded(picture("x")))})
    assert (added.status_code, added.json()["caption"], added.json()["caption_by"]) == (201, None, None)
    assert client.post(f"{PICTURE}/caption").status_code == 503
    assert client.get(PICTURE).json()["caption"] is None
    captioner.refused = set()
    assert client.post(f"{PICTURE}/caption").json()["caption"] == said(KEY)


def test_a_captioner_that_can_not_be_loaded_costs_no_picture(tmp_path: Path) -> None:
    def refuse() -> FakeCaptioner:
        raise ModelUnavailable("The captioner can't be used.")

    lazy = LazyCaptioner(lambda: NAME, lambda: FakeCaptioner.resize, refuse)
    with serving_parts(replace(make_parts(tmp_path), captioner=lazy)) as client:
        assert client.post(URL, files={"file": ("new.png", encoded(picture("x")))}).status_code == 201
        assert client.post(f"{PICTURE}/caption").status_code == 500


def test_concurrent_requests_share_the_captioner_and_searches_do_not_wait(tmp_path: Path) -> None:
    entered, gate = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert gate.wait(DEADLINE_S)

    captioner = FakeCaptioner(before_batch=wait)
    parts = replace(make_parts(tmp_path, batch=BatchSettings(max_queue=8)), captioner=lazily(captioner))
    keys = [record.object_key for record in parts.catalog.load().records.values()]  # type: ignore[union-attr]
    with serving_parts(parts) as client, ThreadPoolExecutor(16) as pool:
        first = pool.submit(client.post, f"{PICTURE}/caption")
        assert entered.wait(DEADLINE_S)
        others = [pool.submit(client.post, f"{URL}/{image_id_of(key)}/caption") for key in keys if key != KEY]
        assert client.post("/api/v1/search/text", json={"query": "waves"}).status_code == 200
        wait_until(lambda: client.get("/api/v1/index").status_code == 200)
        gate.set()
        assert {each.result().status_code for each in (first, *others)} == {200}
    assert captioner.described == 7
    assert captioner.batches[0] == 1
    assert len(captioner.batches) < 7


def test_more_than_may_wait_are_refused_and_a_stop_ends_those_that_wait(tmp_path: Path) -> None:
    entered, gate = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert gate.wait(DEADLINE_S)

    captioner = FakeCaptioner(before_batch=wait)
    parts = replace(make_parts(tmp_path, batch=BatchSettings(max_queue=1)), captioner=lazily(captioner))
    with serving_parts(parts) as client, ThreadPoolExecutor(16) as pool:
        first = pool.submit(client.post, f"{PICTURE}/caption")
        assert entered.wait(DEADLINE_S)
        others = [pool.submit(client.post, f"{PICTURE}/caption") for _ in range(6)]
        wait_until(lambda: sum(each.done() for each in others) >= 4)
        refused = [each.result() for each in others if each.done()]
        assert {answer.status_code for answer in refused} == {503}
        assert all("retry-after" in answer.headers for answer in refused)
        gate.set()
        assert first.result().status_code == 200
