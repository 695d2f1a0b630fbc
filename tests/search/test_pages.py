"""Pages hold still while the index changes, or say that they can't: over HTTP, with states of 1,200 pictures."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import numpy as np
import pytest

from app.bootstrap import Parts
from app.catalog.changes import Changes
from app.catalog.view import View
from app.errors import PagesGone
from app.http.requests import view_source
from app.main import create_app
from app.search.pinned import PinnedStates
from app.settings import IndexSettings, SearchSettings
from app.types import Vectors
from tests.support.catalogs import record, removing, vector, view_of
from tests.support.service import FakeEmbedder, encoded, make_parts, picture, serving, serving_parts, wait_until

SEARCH = "/api/v1/search"
KEYS = tuple(f"{folder}/{number}.jpg" for folder in ("a", "b") for number in range(600))
REMOVED = KEYS[::6]
"""200 pictures, which the indexer removes one after the other."""
QUERY = {"query": "dog", "auto_folder": False}
KEY = "a secret that all replicas share"


def changes_of(keys: Sequence[str]) -> Changes:
    """Four pictures each have the same vector: ties are everywhere."""
    rows = [vector(f"group {sum(key.encode()) % 300}") for key in keys]
    return Changes(added=tuple(map(record, keys)), vectors=np.stack(rows))


def parts_in(folder: Path, **search: object) -> Parts:
    made = make_parts(
        folder, keys=(), search=SearchSettings(**{"relevance": False, "cursor_key": KEY, **search}),
        index=IndexSettings(poll_s=0.05, journal_max_files=4),
    )  # fmt: skip
    if made.catalog.pointer() is None:
        made.catalog.publish(changes_of(KEYS), FakeEmbedder().identity)
    return made


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return parts_in(tmp_path)


@pytest.fixture
def client(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as serving_client:
        yield serving_client


class Indexer:
    """Adds and removes pictures in a thread, until all that it may remove are gone."""

    def __init__(self, parts: Parts) -> None:
        self.publications = 0
        self._catalog = parts.catalog
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Indexer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        model = FakeEmbedder().identity
        for number, key in enumerate(REMOVED):
            if self._is_over.is_set():
                return
            added = changes_of([f"a/new {number}.jpg", f"c/new {number}.jpg"])
            published = self._catalog.publish(replace(added, removed=removing(key).removed), model)
            self._catalog.fold(published)
            self.publications += 1

    def wait_for_another(self) -> None:
        before = self.publications
        wait_until(lambda: self.publications > before or self.publications == len(REMOVED))


def ask(client: httpx2.Client, **body: object) -> dict:
    answer = client.post(f"{SEARCH}/text", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def keys_of(answer: dict) -> list[str]:
    return [result["object_key"] for result in answer["results"]]


def by_score(text: str) -> list[str]:
    """All pictures by falling score; of equal scores, by row id."""
    query: Vectors = FakeEmbedder().encode_texts([text])[0]
    changes = changes_of(KEYS)
    scores = np.round(changes.vectors @ query, 6)
    return [KEYS[place] for place in np.lexsort((changes.ids, -scores))]


def test_a_thousand_hits_are_paged_while_an_indexer_adds_and_removes(parts: Parts, client: httpx2.Client) -> None:
    with Indexer(parts) as indexer:
        answer = ask(client, **QUERY, k=25)
        shown, generations = keys_of(answer), {answer["generation"]}
        served = {answer["generation"]}
        while answer["next_cursor"]:
            indexer.wait_for_another()
            answer = ask(client, cursor=answer["next_cursor"], k=25)
            assert len(answer["results"]) == 25 or answer["next_cursor"] is None
            shown += keys_of(answer)
            generations.add(answer["generation"])
            served.add(client.get("/api/v1/index").json()["generation"])
    assert len(served) >= 3  # the service followed the indexer
    assert len(generations) == 1  # and the pages did not
    assert len(shown) == len(set(shown)) >= 1000
    assert set(KEYS) - set(REMOVED) <= set(shown)
    assert shown == [key for key in by_score("dog") if key in set(shown)]
    assert not {key for key in REMOVED if key not in shown} & set(keys_of(ask(client, **QUERY, k=100)))


def test_any_sizes_of_pages_give_the_same_list(client: httpx2.Client) -> None:
    answer = ask(client, **QUERY, k=1)
    shown = keys_of(answer)
    for size in (1, 2, 7, 100, 30):
        answer = ask(client, cursor=answer["next_cursor"], k=size)
        shown += keys_of(answer)
    assert shown == by_score("dog")[: 1 + 1 + 2 + 7 + 100 + 30]


def test_a_page_can_be_asked_for_twice(client: httpx2.Client) -> None:
    cursor = ask(client, **QUERY, k=3)["next_cursor"]
    one, other = (ask(client, cursor=cursor, k=4) for _ in range(2))
    assert one["results"] == other["results"]
    assert keys_of(one) == by_score("dog")[3:7]


def test_there_is_no_cursor_where_nothing_follows(client: httpx2.Client) -> None:
    answer = ask(client, query="dog", folder="b", k=100)
    while answer["next_cursor"]:
        last, answer = answer, ask(client, cursor=answer["next_cursor"], k=100)
    assert len(last["results"]) == len(answer["results"]) == 100
    assert answer["folder"] == last["folder"]
    assert answer["folder"]["path"] == "b"


def test_deleted_pictures_are_left_out_and_the_page_is_filled_up(parts: Parts, client: httpx2.Client) -> None:
    expected = by_score("dog")
    answer = ask(client, **QUERY, k=3)
    before = parts.catalog.publish(removing(*expected[4:6]), FakeEmbedder().identity)
    wait_until(lambda: client.get("/api/v1/index").json()["journal"] == before.pointer.journal)
    assert keys_of(ask(client, cursor=answer["next_cursor"], k=3)) == [expected[3], *expected[6:8]]


@contextmanager
def replica_of(parts: Parts, **search: object) -> Iterator[httpx2.Client]:
    with serving_parts(parts_in(Path(parts.settings.storage.url.removeprefix("file://")), **search)) as client:
        yield client


def test_another_replica_reads_the_state_from_the_bucket(parts: Parts, client: httpx2.Client) -> None:
    model = FakeEmbedder().identity
    first = parts.catalog.publish(removing(KEYS[0]), model)
    wait_until(lambda: client.get("/api/v1/index").json()["journal"] == first.pointer.journal)
    cursor = ask(client, **QUERY, k=10)["next_cursor"]
    later = parts.catalog.publish(changes_of(["a/new.jpg"]), model)
    with replica_of(parts) as other:
        wait_until(lambda: other.get("/api/v1/index").json()["journal"] == later.pointer.journal)
        shown, one = [], {"next_cursor": cursor}
        while one["next_cursor"]:  # from one replica to the other and back
            one = ask(other if len(shown) % 200 else client, cursor=one["next_cursor"], k=100)
            shown += keys_of(one)
    assert shown == [key for key in by_score("dog") if key != KEYS[0]][10:]


def test_a_state_that_is_gone_is_said_to_be(parts: Parts, client: httpx2.Client) -> None:
    cursor = ask(client, **QUERY, k=10)["next_cursor"]
    parts.catalog.publish(changes_of(KEYS), FakeEmbedder().identity, rebuild=True)
    with replica_of(parts) as other:
        answer = other.post(f"{SEARCH}/text", json={"cursor": cursor})
    assert answer.status_code == 410
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:image2search:problem:pages-gone"
    assert "Search again" in answer.json()["detail"]
    assert len(ask(client, cursor=cursor, k=10)["results"]) == 10  # the first replica still has it


def test_a_cursor_of_others_is_refused(parts: Parts, client: httpx2.Client) -> None:
    cursor = ask(client, **QUERY, k=10)["next_cursor"]
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    place = len(cursor) // 2
    changed = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
    for wrong in (changed, cursor[:-9], "x", "x.y", cursor + "A" * 8):
        refused = client.post(f"{SEARCH}/text", json={"cursor": wrong})
        assert (refused.status_code, refused.json()["type"]) == (400, "urn:image2search:problem:invalid-cursor"), wrong
    with replica_of(parts, cursor_key="another") as other:
        assert other.post(f"{SEARCH}/text", json={"cursor": cursor}).status_code == 400


def test_a_cursor_is_good_for_its_own_scope(parts: Parts) -> None:
    snapshot = parts.catalog.load()
    assert snapshot is not None
    scope = ["a"]
    app = create_app(parts.settings, parts)
    app.dependency_overrides[view_source] = lambda: lambda: View(snapshot, scope)
    with serving(app) as client:
        answer = ask(client, **QUERY, k=100)
        following = ask(client, cursor=answer["next_cursor"], k=100)
        assert {result["folder"] for result in (*answer["results"], *following["results"])} == {"a"}
        for other in (["b"], ["a", "b"], [""]):
            scope[:] = other
            refused = client.post(f"{SEARCH}/text", json={"cursor": answer["next_cursor"]})
            assert (refused.status_code, refused.json()["title"]) == (400, "Invalid cursor")


def test_neither_picture_nor_terms_are_sent_again(client: httpx2.Client) -> None:
    file = encoded(picture("query.png"))
    whole = client.post(f"{SEARCH}/image", files={"file": file}, data={"k": "30"}).json()
    begun = client.post(f"{SEARCH}/image", files={"file": file}, data={"k": "10"}).json()
    form = {"cursor": (None, begun["next_cursor"]), "k": (None, "20")}
    assert keys_of(begun) + keys_of(client.post(f"{SEARCH}/image", files=form).json()) == keys_of(whole)
    terms = [{"text": "dog"}, {"text": "cat", "weight": -0.5}, {"vector": [1, 0, 0, 0, 0, 0, 0, 0]}]
    body = {"terms": terms, "explain": True, "filters": {"max_bytes": 5000}}
    whole = client.post(SEARCH, json=body | {"k": 30}).json()
    begun = client.post(SEARCH, json=body | {"k": 10}).json()
    following = client.post(SEARCH, json={"cursor": begun["next_cursor"], "k": 20}).json()
    assert begun["results"] + following["results"] == whole["results"]
    assert all(len(each["parts"]) == len(terms) for each in following["results"])
    batch = client.post(f"{SEARCH}/batch", json={"searches": [{"cursor": begun["next_cursor"], "k": 20}]}).json()
    assert batch["answers"][0]["result"]["results"] == following["results"]


@pytest.mark.parametrize("mode", ["words", "hybrid"])
def test_words_are_paged_too(client: httpx2.Client, mode: str) -> None:
    answer = ask(client, query="b 12", auto_folder=False, mode=mode, k=7)
    shown = keys_of(answer)
    while answer["next_cursor"]:
        answer = ask(client, cursor=answer["next_cursor"], k=100)
        shown += keys_of(answer)
    assert len(shown) == len(set(shown)) > 500
    assert "b/12.jpg" in shown[:7]


def test_a_cursor_goes_with_nothing_but_k(client: httpx2.Client) -> None:
    cursor = ask(client, **QUERY, k=3)["next_cursor"]
    for path, body in (("/text", {"query": "cat"}), ("", {"folders": ["a"]}), ("/url", {"sort": "newest"})):
        refused = client.post(SEARCH + path, json={"cursor": cursor, **body})
        assert refused.status_code == 422
        assert f"leave out {next(iter(body))}" in refused.json()["detail"]
    with_defaults = {"cursor": cursor, "query": None, "folder": None, "mode": "vector", "k": 4}
    assert keys_of(ask(client, **with_defaults)) == by_score("dog")[3:7]
    assert "field required" in client.post(f"{SEARCH}/text", json={"k": 3}).json()["detail"].lower()


def test_few_states_are_kept_and_not_for_long() -> None:
    views = [replace_generation(f"0000000{number}-aaaaaaaa") for number in range(1, 5)]
    now = [0.0]
    states = PinnedStates(lambda *_: None, lambda _: None, most=2, keep_s=10, now=lambda: now[0])
    for view in views[:2]:
        states.pin(view)
    assert states.get(views[0].generation, 0, views[3]).view is views[0]
    states.pin(views[2])  # the second one was used least recently
    with pytest.raises(PagesGone):
        states.get(views[1].generation, 0, views[3])
    now[0] = 9
    states.get(views[2].generation, 0, views[3])
    now[0] = 11
    assert states.get(views[2].generation, 0, views[3]).view is views[2]
    with pytest.raises(PagesGone):
        states.get(views[0].generation, 0, views[3])


def replace_generation(name: str) -> View:
    snapshot = view_of([record("a/1.jpg")])._snapshot
    return View(replace(snapshot, pointer=replace(snapshot.pointer, generation=name)))
