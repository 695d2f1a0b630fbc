"""Searches of a batch ask the index together where they can, and answer as they do alone: over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.bootstrap import Parts
from app.catalog.view import View
from app.encoder.encoder import Text
from app.errors import VectorStoreUnavailable
from app.models.bank import keep_bank
from app.search.prepared import Prepared
from app.search.query import Query
from app.search.together import groups_of
from app.settings import IndexSettings, ModelSettings, SearchSettings
from app.storage.local import LocalStore
from app.vectors.base import FEW_QUERIES
from tests.support.catalogs import catalog_on
from tests.support.hubs import BANK, CAPTIONS, HubsEmbedder, hubs_library
from tests.support.service import make_parts, serving_parts, wait_until
from tests.support.vector_servers import MemoryServer

SEARCH = "/api/v1/search"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    folder, embedder = tmp_path_factory.mktemp("together"), HubsEmbedder()
    made = make_parts(
        folder / "library", embedder, (), index=IndexSettings(poll_s=0.05),
        model=ModelSettings(cache=folder / "cache"), search=SearchSettings(relevance=True),
    )  # fmt: skip
    keep_bank(folder / "cache", embedder.identity.fingerprint, BANK.vectors)
    made.catalog.publish(hubs_library(), embedder.identity)
    return made


@pytest.fixture(scope="module")
def client(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as served:
        wait_until(lambda: ask(served, {"query": "x"})["good_match"] is not None)
        yield served


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries the index was asked for each time."""
    counts: list[int] = []
    one, several = View.search, View.nearest_rows

    def search(view: View, *arguments: object, **options: object) -> list:
        counts.append(1)
        return one(view, *arguments, **options)  # type: ignore[arg-type]

    def nearest_rows(view: View, vectors: object, *arguments: object, **options: object) -> list:
        counts.append(len(vectors))  # type: ignore[arg-type]
        return several(view, vectors, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(View, "search", search)
    monkeypatch.setattr(View, "nearest_rows", nearest_rows)
    return counts


def ask(client: httpx2.Client, body: dict) -> dict:
    answer = client.post(SEARCH if "terms" in body else f"{SEARCH}/text", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def batch(client: httpx2.Client, *searches: dict) -> list[dict]:
    answer = client.post(f"{SEARCH}/batch", json={"searches": searches})
    assert answer.status_code == 200, answer.text
    return answer.json()["answers"]


def caption(number: int, **fields: object) -> dict:
    return {"query": f"caption {number}", "k": 5, "auto_folder": False, **fields}


def without_moments(answer: dict) -> dict:
    """Without what no two answers have in common."""
    return {name: value for name, value in answer.items() if name not in ("took_ms", "next_cursor")}


def assert_as_alone(client: httpx2.Client, *searches: dict) -> None:
    for found, body in zip(batch(client, *searches), searches, strict=True):
        assert without_moments(found["result"]) == without_moments(ask(client, body))
        assert bool(found["result"]["next_cursor"]) == (len(found["result"]["results"]) > 0)


def test_plain_searches_ask_the_index_together(client: httpx2.Client, asked: list[int]) -> None:
    batch(client, *(caption(number) for number in range(20)))
    assert sorted(asked) == [20 - FEW_QUERIES, FEW_QUERIES]


def test_they_find_what_each_finds_alone(client: httpx2.Client) -> None:
    assert_as_alone(client, *(caption(number) for number in range(64)))


def test_those_in_other_folders_or_of_another_depth_are_asked_apart(client: httpx2.Client, asked: list[int]) -> None:
    searches = [caption(1), caption(2), caption(3, folder="even"), caption(4, folder="even"), caption(5, k=9)]
    batch(client, *searches)
    assert sorted(asked) == [1, 2, 2]
    assert_as_alone(client, *searches)


@pytest.mark.parametrize(
    "body",
    [
        caption(3, mode="hybrid"),
        caption(3, sort="newest", min_relevance=0.01),
        caption(3, fold_duplicates=True),
        {"terms": [{"text": "caption 3"}, {"text": "caption 4"}]},
        {"terms": [{"text": "caption 3"}], "filters": {"min_bytes": 1}},
    ],
    ids=["hybrid", "by date", "folded", "two terms", "filters"],
)
def test_others_ask_for_themselves(client: httpx2.Client, asked: list[int], body: dict) -> None:
    batch(client, body, body)
    assert max(asked) == 1
    assert_as_alone(client, body, body)


def test_a_page_and_a_failure_among_them_stay_what_they_are(client: httpx2.Client) -> None:
    cursor = ask(client, caption(3))["next_cursor"]
    later = ask(client, {"query": None, "cursor": cursor, "k": 5})
    answers = batch(client, caption(1), {"cursor": cursor, "k": 5}, caption(2, folder="nowhere"), caption(4))
    assert answers[1]["result"]["results"] == later["results"]
    assert answers[2]["problem"]["status"] == 404
    for answer, number in ((answers[0], 1), (answers[3], 4)):
        assert without_moments(answer["result"]) == without_moments(ask(client, caption(number)))


def test_where_the_index_can_not_be_asked_each_says_so(client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> list:
        raise VectorStoreUnavailable("The vectors can't be searched now.")

    monkeypatch.setattr(View, "nearest_rows", fail)
    assert_as_alone(client, caption(1), caption(2))
    monkeypatch.setattr(View, "search", fail)
    assert [answer["problem"]["status"] for answer in batch(client, caption(1), caption(2))] == [503, 503]


def test_a_vector_server_is_asked_by_each(tmp_path: Path) -> None:
    changes, model = hubs_library(), HubsEmbedder().identity
    queries = {number: Prepared(Query.of(Text("a thing")), None, (CAPTIONS[number],)) for number in range(3)}
    for name in ("kept", "served"):
        (tmp_path / name).mkdir()
    kept = View(catalog_on(LocalStore(tmp_path / "kept")).publish(changes, model))
    served = View(catalog_on(LocalStore(tmp_path / "served"), server=MemoryServer()).publish(changes, model))
    assert list(groups_of(queries, kept)) == [[0, 1, 2]]
    assert list(groups_of(queries, served)) == []
