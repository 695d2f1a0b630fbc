"""The relevance of what a view finds: which libraries it is known for, and what it is measured against."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.snapshot import Snapshot
from app.catalog.view import EVERYWHERE, View
from app.errors import NotConfigured, Unavailable, VectorStoreUnavailable
from app.models.bank import Bank
from app.search.relevance.relevance import Judgement, Relevance, make_scales
from app.storage.local import LocalStore
from tests.support.catalogs import MODEL, adding, catalog_on, record, row_of, vector
from tests.support.vector_servers import MemoryServer

BANK = Bank(np.stack([vector(f"text {number}") for number in range(200)]))
KEYS = tuple(f"{folder}/{number}.jpg" for folder in ("a", "b") for number in range(20))
QUERY = vector("a query")


@pytest.fixture(params=["bucket", "server"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Catalog:
    return catalog_on(LocalStore(tmp_path), server=MemoryServer() if request.param == "server" else None)


def published(catalog: Catalog, *, bank: Bank | None = None, off_by: float = 0.0) -> Snapshot:
    """A library of KEYS; `bank` has measured it, and the records differ from that by `off_by`."""
    changes = adding(*KEYS)
    if bank:
        measured = bank.measured(changes.added, changes.vectors)
        added = tuple(replace(each, bank_near=(each.bank_near or 0) + off_by) for each in measured)
        changes = replace(changes, added=added)
    return catalog.publish(changes, MODEL)


def judged(snapshot: Snapshot, kind: str = "text", folders: Collection[str] = EVERYWHERE) -> Judgement:
    view = View(snapshot, folders)
    return make_scales(view, BANK).judge(kind, QUERY, view.search(QUERY, 5), view)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["text", "picture"])
def test_each_picture_that_was_found_has_a_relevance(catalog: Catalog, kind: str) -> None:
    found = judged(published(catalog, bank=BANK), kind)
    assert len(found.relevances) == 5
    assert all(0 <= each <= 1 for each in found.relevances)
    assert found.good_match in (True, False)
    if max(found.relevances) < 0.5:
        assert not found.good_match


def test_pictures_that_were_not_measured_are_measured_when_they_are_found(catalog: Catalog) -> None:
    """Records of older versions, and of small index runs, say nothing about the bank."""
    without = judged(published(catalog))
    measured = Changes(added=BANK.measured(adding(*KEYS).added, adding(*KEYS).vectors), vectors=adding(*KEYS).vectors)
    kept = judged(catalog.publish(measured, MODEL, rebuild=True))
    assert without.relevances == pytest.approx(kept.relevances, abs=0.01)


def test_they_are_measured_once(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    view = View(published(catalog))
    scales, found = make_scales(view, BANK), view.search(QUERY, 5)
    monkeypatch.setattr(Bank, "measure", lambda bank, pictures: measured.append(len(pictures)) or np.ones((5, 2)))
    first = scales.judge("text", QUERY, found, view)
    assert scales.judge("text", QUERY, found, view) == first
    assert measured == [5]
    assert scales.judge("text", QUERY, found[:0], view).relevances == []


def test_few_of_their_measures_are_kept(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.search.relevance.relevance.MAX_MEASURED", 7)
    view = View(published(catalog))
    scales, found = make_scales(view, BANK), view.search(QUERY, 12)
    parts = [found[:5], found[:5], found[5:10], found[:12]]
    kept = [scales.judge("text", QUERY, part, view) and len(scales.measured) for part in parts]
    assert kept == [5, 5, 5, 7]


def test_what_another_bank_has_measured_does_not_count(catalog: Catalog) -> None:
    """A later version may have other texts."""
    stale = published(catalog, bank=BANK, off_by=0.2)
    assert not make_scales(View(stale), BANK).trusts_records
    assert judged(stale).relevances == pytest.approx(judged(catalog.publish(adding(*KEYS), MODEL)).relevances)


def test_an_empty_answer_is_no_good_match(catalog: Catalog) -> None:
    assert judged(published(catalog), folders=[]) == Judgement([], False)


def test_there_is_no_relevance_before_there_is_a_bank(catalog: Catalog) -> None:
    view, relevance = View(published(catalog)), Relevance()
    relevance.prepare(view)
    assert relevance.of(view) is None
    assert relevance.measured(record("a.jpg"), QUERY).bank_mean is None
    assert isinstance(relevance.why_not(), Unavailable)
    assert isinstance(Relevance(is_wanted=False).why_not(), NotConfigured)


def test_the_scales_are_made_once_for_each_library_and_scope(catalog: Catalog) -> None:
    snapshot, relevance = published(catalog), Relevance()
    relevance.use(BANK)
    relevance.prepare(View(snapshot))
    scales = relevance.of(View(snapshot))
    assert scales is not None
    narrow = relevance.of(View(snapshot, ["a"]))
    assert relevance.of(View(snapshot)) is scales
    assert narrow is not None
    assert (len(scales.texts.sample), len(narrow.texts.sample)) == (40, 20)
    for number in range(1, 4):
        changed = View(catalog.publish(adding(f"new/{number}.jpg"), MODEL))
        assert (relevance.of(changed) is scales) is (number == 3)  # journals 1 and 2 double their number, 3 does not
        scales = relevance.of(changed)
    rebuilt = View(catalog.publish(adding(*KEYS), MODEL, rebuild=True))
    assert relevance.of(rebuilt) is not scales


def test_an_added_picture_is_measured(catalog: Catalog) -> None:
    relevance = Relevance()
    relevance.use(BANK)
    measured = relevance.measured(record("a.jpg"), vector("a.jpg"))
    assert (measured.bank_mean, measured.bank_near) == pytest.approx(BANK.measure(vector("a.jpg")[None])[0], abs=1e-4)


def test_a_vector_that_the_server_has_lost_is_not_in_the_sample(tmp_path: Path) -> None:
    server = MemoryServer()
    snapshot = published(catalog_on(LocalStore(tmp_path), server=server))
    snapshot.vectors.remove([row_of(KEYS[0])])
    assert len(make_scales(View(snapshot), BANK).texts.sample) == len(KEYS) - 1


def test_a_server_that_does_not_answer_delays_the_scales_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view, relevance = View(published(catalog_on(LocalStore(tmp_path)))), Relevance()
    relevance.use(BANK)

    def fail(*_: object) -> None:
        raise VectorStoreUnavailable("It does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(View, "vectors_of", fail)
        relevance.prepare(view)
    assert relevance.of(view) is not None
