"""Searching by vectors and by words at once, over a published index."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from app.catalog.snapshot import Snapshot
from app.catalog.view import View
from app.errors import IndexNotReady
from app.search import hybrid
from app.search.hybrid import Match, search_both, search_words
from app.settings import IndexSettings
from app.storage.base import ObjectStore
from app.types import ImageRecord, Vectors
from app.words.base import WordBase
from app.words.file import WordFile
from app.words.index import WordIndex
from tests.support.catalogs import MODEL, adding, catalog_on, vector
from tests.support.stores import store_at
from tests.support.vector_servers import MemoryServer

KEYS = ["a/IMG_2041.jpg", "a/invoice.jpg", "b/invoice_list.jpg", "b/x.jpg", "c/dog.jpg", "c/y.jpg"]
CAPTIONS = {"b/x.jpg": "a dog on a beach", "c/y.jpg": "an invoice for a dog, and an invoice"}


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    changes = adding(*KEYS)
    added = tuple(replace(record, caption=CAPTIONS.get(record.object_key)) for record in changes.added)
    return catalog_on(store_at(f"file://{tmp_path}"), IndexSettings()).publish(replace(changes, added=added), MODEL)


def halved(found: Sequence[tuple[ImageRecord, float]]) -> list[float]:
    """A made-up relevance: from the cosine alone."""
    return [(cosine + 1) / 2 for _, cosine in found]


def keys(found: Sequence[Match]) -> list[str]:
    return [match.record.object_key for match in found]


def cosine(query: Vectors, key: str) -> float:
    return float(vector(key) @ query)


def test_words_alone_decide_the_order_and_the_vector_the_cosines(snapshot: Snapshot) -> None:
    query = vector("c/dog.jpg")
    found = search_words(View(snapshot), "invoice", query, 5, relevances=halved).found
    assert keys(found) == ["a/invoice.jpg", "b/invoice_list.jpg", "c/y.jpg"]
    assert [match.words == match.score for match in found] == [True] * 3
    assert [match.is_named for match in found] == [True, False, False]
    for match in found:
        assert match.cosine == pytest.approx(cosine(query, match.record.object_key), abs=1e-5)
        assert match.relevance == pytest.approx((match.cosine + 1) / 2, abs=1e-5)
    alone = search_words(View(snapshot, ["c"]), "invoice", query, 5, relevances=None).found
    assert [(match.record.object_key, match.relevance) for match in alone] == [("c/y.jpg", None)]


@pytest.mark.parametrize("candidates", [1, 100])
def test_scores_are_whole_for_what_only_one_search_found(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, candidates: int
) -> None:
    """By hand: 0.7 x relevance + 0.3 x words, also where one of the two searches found the picture."""
    monkeypatch.setattr(hybrid, "CANDIDATES", candidates)
    query = vector("c/y.jpg")
    by_words = search_words(View(snapshot), "beach", query, 9, relevances=None).found
    words = {match.record.object_key: match.words for match in by_words}
    found = search_both(View(snapshot), "beach", query, 1, relevances=halved).found
    scores = {key: 0.7 * (cosine(query, key) + 1) / 2 + 0.3 * words.get(key, 0.0) for key in KEYS}
    best = max(scores, key=lambda key: scores[key])
    (match,) = found
    assert (match.record.object_key, match.score) == (best, pytest.approx(scores[best], abs=1e-5))
    assert match.cosine == pytest.approx(cosine(query, best), abs=1e-5)
    assert match.relevance == pytest.approx((cosine(query, best) + 1) / 2, abs=1e-5)
    assert match.words == pytest.approx(words.get(best, 0.0))


@pytest.mark.parametrize(
    ("text", "key"), [("IMG_2041", "a/IMG_2041.jpg"), ("Invoice", "a/invoice.jpg"), ("img 2041.jpg", "a/IMG_2041.jpg")]
)
@pytest.mark.parametrize("fusion", ["scores", "ranks"])
def test_exact_names_come_first(snapshot: Snapshot, text: str, key: str, fusion: hybrid.Fusion) -> None:
    """Also where the vector points elsewhere."""
    found = search_both(View(snapshot), text, vector("c/dog.jpg"), 6, relevances=halved, fusion=fusion).found
    assert keys(found)[0] == key
    assert found[0].is_named
    assert sorted(keys(found)) == sorted(KEYS)


def test_without_relevances_the_ranks_are_combined(snapshot: Snapshot) -> None:
    query = vector("c/dog.jpg")
    unknown = search_both(View(snapshot), "beach", query, 6, relevances=None).found
    by_ranks = search_both(View(snapshot), "beach", query, 6, relevances=halved, fusion="ranks").found
    assert [match.score for match in unknown] == [match.score for match in by_ranks]
    assert keys(unknown) == keys(by_ranks)
    assert {match.relevance for match in unknown} == {None}


def test_a_text_without_words_leaves_the_order_of_the_vectors(snapshot: Snapshot) -> None:
    query = vector("c/dog.jpg")
    expected = sorted(KEYS, key=lambda key: -cosine(query, key))
    for fusion in ("scores", "ranks"):
        found = search_both(View(snapshot), "👍", query, 6, relevances=halved, fusion=fusion).found
        assert keys(found) == expected


def test_both_searches_stay_in_the_folders_asked_for_and_in_the_callers_scope(snapshot: Snapshot) -> None:
    query = vector("a/invoice.jpg")
    assert set(keys(search_both(View(snapshot), "invoice", query, 9, ["b"], relevances=halved).found)) == {
        "b/invoice_list.jpg",
        "b/x.jpg",
    }
    scoped = View(snapshot, ["c"])
    assert set(keys(search_both(scoped, "invoice", query, 9, relevances=halved).found)) == {"c/dog.jpg", "c/y.jpg"}


def test_while_the_words_of_an_old_index_are_read_the_vectors_answer_and_say_so(snapshot: Snapshot) -> None:
    class Unready(WordBase):
        def get(self) -> WordFile:
            raise IndexNotReady("The words are being read.")

    base = Unready(None, lambda: pytest.fail("made"), 0)
    unready = View(replace(snapshot, words=WordIndex(base, snapshot.records.base)))
    query = vector("b/x.jpg")
    matches = search_both(unready, "invoice", query, 1, relevances=halved)
    assert (keys(matches.found), matches.problem) == (["b/x.jpg"], "The words are being read.")
    with pytest.raises(IndexNotReady):
        search_words(unready, "invoice", query, 1, relevances=None)


def test_a_picture_whose_vector_a_server_lost_is_found_by_its_words(tmp_path: Path) -> None:
    server = MemoryServer()
    store: ObjectStore = store_at(f"file://{tmp_path}")
    state = catalog_on(store, server=server).publish(adding(*KEYS), MODEL)
    state.vectors.remove([next(row for row, each in state.records.items() if each.object_key == "c/dog.jpg")])
    found = search_both(View(state), "dog", vector("a/invoice.jpg"), 6, relevances=halved).found
    assert (keys(found)[0], found[0].cosine) == ("c/dog.jpg", None)
    told = search_words(View(state), "dog", vector("a/invoice.jpg"), 6, relevances=halved)
    assert told.found[0].relevance is None
    assert told.problem is not None
    assert "lost" in told.problem
