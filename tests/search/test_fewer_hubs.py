"""Searches of texts rank with fewer hubs where the library gains by it; its pages show one ranking. Over HTTP."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import orjson
import pytest

from app.bootstrap import Parts
from app.catalog.hubs import Examination, rank
from app.catalog.layout import POINTER_KEY
from app.models.bank import keep_bank
from app.settings import IndexSettings, ModelSettings, SearchSettings
from app.types import Vectors, image_id_of, row_id
from tests.support.catalogs import removing
from tests.support.hubs import BANK, CAPTIONS, COUNT, KEYS, PICTURES, HubsEmbedder, hubs_library
from tests.support.service import make_parts, serving_parts, wait_until

SEARCH = "/api/v1/search"
GAINS = Examination(COUNT, (0.5, 0.8), (0.6, 0.8), True)
NUMBER = 3
"""The caption that is searched for."""
QUERY = {"query": f"caption {NUMBER}", "auto_folder": False}


def parts_in(folder: Path, found: Examination | None = GAINS, **search: object) -> Parts:
    """A library of which this was found out. A second call makes a replica."""
    embedder = HubsEmbedder()
    made = make_parts(
        folder / "library", embedder, (), index=IndexSettings(poll_s=0.05),
        model=ModelSettings(cache=folder / "cache"),
        search=SearchSettings(**{"relevance": True, "cursor_key": "a secret that all replicas share", **search}),
    )  # fmt: skip
    keep_bank(folder / "cache", embedder.identity.fingerprint, BANK.vectors)
    if made.catalog.pointer() is None:
        made.catalog.keep_examination(made.catalog.publish(hubs_library(), embedder.identity), found)
    return made


@contextmanager
def serving(parts: Parts) -> Iterator[httpx2.Client]:
    """As soon as its bank is there."""
    with serving_parts(parts) as client:
        if parts.settings.search.relevance:
            wait_until(lambda: ask(client, **QUERY)["good_match"] is not None)
        yield client


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with serving(parts_in(tmp_path_factory.mktemp("hubs"))) as served:
        yield served


def ask(client: httpx2.Client, path: str = "/text", **body: object) -> dict:
    answer = client.post(SEARCH + path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def keys_of(answer: dict) -> list[str]:
    return [result["object_key"] for result in answer["results"]]


def nearest(query: Vectors) -> tuple[list[int], list[float]]:
    """Pictures by falling cosine; of equal ones, by row id."""
    cosines = np.round(PICTURES @ query, 6)
    order = np.lexsort(([row_id(image_id_of(key)) for key in KEYS], -cosines))
    return order.tolist(), cosines[order].tolist()


def by_cosine(query: Vectors = CAPTIONS[NUMBER]) -> list[str]:
    return [KEYS[place] for place in nearest(query)[0]]


def with_fewer_hubs(query: Vectors = CAPTIONS[NUMBER], among: Sequence[str] = KEYS) -> list[str]:
    order, cosines = nearest(query)
    near = np.round(BANK.measure(PICTURES)[:, 1].astype(float), 4)
    pairs = [(place, cosine) for place, cosine in zip(order, cosines, strict=True) if KEYS[place] in among]
    ranked = rank([cosine for _, cosine in pairs], [near[place] for place, _ in pairs])
    return [KEYS[pairs[place][0]] for place, _ in ranked]


def test_a_library_that_gains_ranks_with_fewer_hubs(client: httpx2.Client) -> None:
    assert with_fewer_hubs()[:10] != by_cosine()[:10]
    answer = ask(client, **QUERY, k=10)
    assert keys_of(answer) == with_fewer_hubs()[:10]
    cosines = dict(zip(KEYS, (PICTURES @ CAPTIONS[NUMBER]).tolist(), strict=True))
    scores = [each["score"] for each in answer["results"]]
    assert scores == pytest.approx([cosines[key] for key in keys_of(answer)], abs=1e-5)
    assert scores != sorted(scores, reverse=True)


def test_captions_find_their_pictures_more_often(client: httpx2.Client, tmp_path: Path) -> None:
    def found(served: httpx2.Client) -> int:
        answers = [keys_of(ask(served, query=f"caption {number}", auto_folder=False, k=1)) for number in range(60)]
        return sum(answer == [key] for answer, key in zip(answers, KEYS, strict=False))

    with serving(parts_in(tmp_path, fewer_hubs="off")) as off:
        assert found(client) > found(off)


def test_only_in_a_folder_and_of_pictures_that_fit(client: httpx2.Client) -> None:
    even = [key for key in KEYS if key.startswith("even/")]
    assert keys_of(ask(client, **QUERY, folder="even", k=10)) == with_fewer_hubs(among=even)[:10]
    relevant = ask(client, **QUERY, min_relevance=0.3, k=100)
    order = with_fewer_hubs()
    assert 0 < len(relevant["results"]) < 100
    assert keys_of(relevant) == sorted(keys_of(relevant), key=order.index)


@pytest.mark.parametrize("sizes", [(1, 2, 7, 30, 100), (10, 95, 5, 100), (100, 100)])
def test_pages_show_one_ranking_without_repeats_or_gaps(client: httpx2.Client, sizes: tuple[int, ...]) -> None:
    answer = ask(client, **QUERY, k=sizes[0])
    shown = keys_of(answer)
    for size in sizes[1:]:
        if answer["next_cursor"]:
            answer = ask(client, cursor=answer["next_cursor"], k=size)
            shown += keys_of(answer)
    assert shown == with_fewer_hubs()[: sum(sizes)]


def test_later_pages_rank_as_the_first_one_did_wherever_they_are_asked_for(tmp_path: Path) -> None:
    """A replica with another setting, after the outcome has changed, and after an index run."""
    parts = parts_in(tmp_path)
    with serving(parts) as client, serving(parts_in(tmp_path, fewer_hubs="off")) as other:
        corrected, plain = (ask(served, **QUERY, k=20)["next_cursor"] for served in (client, other))
        before = parts.catalog.load()
        assert before is not None
        parts.catalog.keep_examination(before, None)
        last = parts.catalog.publish(removing(KEYS[-1]), parts.model.identity)
        for served in (client, other):
            wait_until(lambda served=served: served.get("/api/v1/index").json()["journal"] == last.pointer.journal)
            later = [key for key in with_fewer_hubs()[20:50] if key != KEYS[-1]]
            assert keys_of(ask(served, cursor=corrected, k=100))[: len(later)] == later
            later = [key for key in by_cosine()[20:50] if key != KEYS[-1]]
            assert keys_of(ask(served, cursor=plain, k=100))[: len(later)] == later
            assert keys_of(ask(served, **QUERY, k=10)) == [key for key in by_cosine() if key != KEYS[-1]][:10]


def test_several_texts_are_added_up(client: httpx2.Client) -> None:
    total = CAPTIONS[3].astype(float) + CAPTIONS[8]
    total = np.asarray(total / np.linalg.norm(total), np.float32)
    answer = ask(client, "", terms=[{"text": "caption 3"}, {"text": "caption 8"}], k=10)
    assert keys_of(answer) == with_fewer_hubs(total)[:10]


@pytest.mark.parametrize(
    "body",
    [
        {"terms": [{"vector": CAPTIONS[NUMBER].tolist()}]},
        {"terms": [{"image_id": image_id_of(KEYS[NUMBER])}]},
    ],
    ids=["vector", "picture"],
)
def test_other_queries_are_ranked_by_cosine(client: httpx2.Client, body: dict) -> None:
    query = CAPTIONS[NUMBER] if "vector" in body["terms"][0] else PICTURES[NUMBER]
    assert keys_of(ask(client, "", **body, k=10)) == by_cosine(query)[:10]


@pytest.mark.parametrize(
    "body",
    [
        {"terms": [{"text": "caption 3"}, {"text": "caption 8"}], "combine": "all"},
        {"terms": [{"text": "caption 3"}, {"text": "caption 8", "weight": -0.5}]},
        {"terms": [{"text": "caption 3"}], "mode": "hybrid"},
        {"terms": [{"text": "caption 3"}], "sort": "newest", "min_relevance": 0.01},
    ],
    ids=["all", "minus", "hybrid", "by date"],
)
def test_neither_are_those_that_the_captions_say_nothing_of(client: httpx2.Client, tmp_path: Path, body: dict) -> None:
    with serving(parts_in(tmp_path, fewer_hubs="off")) as off:
        assert keys_of(ask(client, "", **body, k=20)) == keys_of(ask(off, "", **body, k=20))


@pytest.mark.parametrize(
    ("found", "search"),
    [
        (None, {}),
        (Examination(COUNT, (0.5, 0.8), (0.5, 0.8), False), {}),
        (GAINS, {"fewer_hubs": "off"}),
        (GAINS, {"relevance": False}),
    ],
    ids=["not examined", "no gain", "off", "no relevance"],
)
def test_elsewhere_pictures_are_ranked_by_cosine(
    tmp_path: Path, found: Examination | None, search: dict[str, object]
) -> None:
    with serving(parts_in(tmp_path, found, **search)) as client:
        assert keys_of(ask(client, **QUERY, k=10)) == by_cosine()[:10]


def test_the_index_says_what_was_found_out(client: httpx2.Client) -> None:
    assert client.get("/api/v1/index").json()["fewer_hubs"] == {
        "captions": COUNT,
        "recall_at_1": 0.5,
        "recall_at_10": 0.8,
        "fewer_hubs_recall_at_1": 0.6,
        "fewer_hubs_recall_at_10": 0.8,
        "gains": True,
    }


def test_an_index_of_an_earlier_version_is_ranked_by_cosine(tmp_path: Path) -> None:
    parts = parts_in(tmp_path)
    fields = orjson.loads(parts.store.get(POINTER_KEY).data)
    del fields["hubs"]
    parts.store.put(POINTER_KEY, orjson.dumps(fields))
    with serving(parts) as client:
        assert keys_of(ask(client, **QUERY, k=10)) == by_cosine()[:10]
        assert client.get("/api/v1/index").json()["fewer_hubs"] is None
