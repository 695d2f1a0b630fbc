"""A folder that was only guessed is left where nothing in it fits and other pictures do."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.catalog.snapshot import Snapshot
from app.catalog.view import EVERYWHERE, View
from app.encoder.encoder import Text
from app.http.addresses import Locator
from app.models.bank import Bank
from app.search.cursors import Cursor, Cursors
from app.search.finding import Finder, Found
from app.search.folders import FolderChoice, FolderNames
from app.search.net import LEAST_GAIN, find_with_net, is_clearly_better
from app.search.prepared import Prepared
from app.search.query import Query
from app.search.relevance.relevance import Relevance
from app.storage.local import LocalStore
from app.types import Vectors
from tests.support.catalogs import DIMENSION, MODEL, adding, catalog_on, vector

BANK = Bank(np.stack([vector(f"text {number}") for number in range(200)]))
KEYS = tuple(f"{folder}/{number}.jpg" for folder in ("beach", "else") for number in range(20))
INSIDE, OUTSIDE = np.eye(DIMENSION, dtype=np.float32)[:2]
"""What one picture of the folder `beach` shows, and one elsewhere."""
GUESS = FolderChoice("beach", "detected", ("beach",), embedded_text="a thing")


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Two pictures show something, the others show neither of both."""
    changes = adding(*KEYS)
    vectors = changes.vectors.copy()
    vectors[:, :2] = -0.3
    vectors[0], vectors[20] = INSIDE, OUTSIDE
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return catalog_on(LocalStore(tmp_path_factory.mktemp("net"))).publish(replace(changes, vectors=vectors), MODEL)


@pytest.fixture
def finder(tmp_path: Path) -> Finder:
    relevance = Relevance()
    relevance.use(BANK)
    return Finder(Locator(LocalStore(tmp_path), link_expires_s=60), relevance)


def find(
    finder: Finder, snapshot: Snapshot, wanted: Vectors, choice: FolderChoice | None = GUESS,
    visible: Collection[str] = EVERYWHERE, **fields: object,
) -> tuple[FolderChoice | None, Found]:  # fmt: skip
    query = Query.of(Text("a thing"), **{"k": 3, **fields})
    prepared, found = find_with_net(
        lambda asked: finder.find(asked, View(snapshot, visible)), Prepared(query, choice, (wanted,))
    )
    return prepared.choice, found


def keys_of(found: Found) -> list[str]:
    return [hit.record.object_key for hit in found.hits]


@pytest.mark.parametrize("fields", [{}, {"min_relevance": 0.4}, {"sort": "newest"}])
def test_everything_is_searched_where_only_other_pictures_fit(
    finder: Finder, snapshot: Snapshot, fields: dict[str, object]
) -> None:
    choice, found = find(finder, snapshot, OUTSIDE, **fields)
    assert choice == replace(GUESS, widened=True)
    assert keys_of(found)[0] == "else/0.jpg"
    assert found.note is not None
    assert "'beach'" in found.note


@pytest.mark.parametrize(
    ("wanted", "choice"),
    [
        (INSIDE, GUESS),
        (-INSIDE - OUTSIDE, GUESS),
        (OUTSIDE, replace(GUESS, source="asked")),
        (OUTSIDE, replace(GUESS, is_all=True)),
    ],
    ids=["the folder has it", "nothing has it", "the folder was asked for", "only the folder is named"],
)
def test_the_folder_stays(finder: Finder, snapshot: Snapshot, wanted: Vectors, choice: FolderChoice) -> None:
    chosen, found = find(finder, snapshot, wanted / np.linalg.norm(wanted), choice)
    assert chosen == choice
    assert all(key.startswith("beach/") for key in keys_of(found))
    assert len(found.hits) == 3
    assert found.note is None


def test_nothing_is_found_outside_of_what_a_key_may_see(finder: Finder, snapshot: Snapshot) -> None:
    choice, found = find(finder, snapshot, OUTSIDE, visible={"beach"})
    assert choice == GUESS
    assert all(key.startswith("beach/") for key in keys_of(found))


def test_without_relevance_the_folder_stays(tmp_path: Path, snapshot: Snapshot) -> None:
    finder = Finder(Locator(LocalStore(tmp_path), link_expires_s=60), Relevance(is_wanted=False))
    assert find(finder, snapshot, OUTSIDE)[0] == GUESS


def test_later_pages_search_everything_too() -> None:
    cursors = Cursors("a key")
    prepared = Prepared(Query.of(Text("a thing")), replace(GUESS, widened=True), (OUTSIDE,))
    cursor = Cursor("search", "1-ab", 0, ("",), prepared, (), False, None)
    choice = cursors.read(cursors.write(cursor)).prepared.choice
    assert choice is not None
    assert (choice, choice.paths, choice.named) == (prepared.choice, (), ("beach",))


def test_clearly_better() -> None:
    assert is_clearly_better(0.5, 0.5 - LEAST_GAIN)
    assert not is_clearly_better(0.5, 0.3)
    assert not is_clearly_better(1.0, 0.5)
    assert not is_clearly_better(0.49, 0.0)


def test_a_text_that_only_names_the_folder_is_known() -> None:
    names = FolderNames({"nature"})
    for text, is_all in (("show me nature photos", True), ("sunset in nature", False)):
        choice = names.detect(text)
        assert choice is not None
        assert choice.is_all == is_all
