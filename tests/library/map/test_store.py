"""What the map keeps in the index store."""

import logging
from pathlib import Path

import numpy as np
import pytest

from app.errors import StorageUnavailable
from app.library.map.store import MapStore, layout_key
from app.storage.local import LocalStore
from tests.library.map.test_layout import layout_of
from tests.support.stores import WrappedStore

GENERATIONS = [f"0000000{number}-{'ab12cd34'}" for number in range(1, 6)]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


class FullStore(WrappedStore):
    """Whose disk is full."""

    def put(self, *args: object, **options: object) -> str:
        raise StorageUnavailable("The disk is full.")


def test_the_best_layout_of_a_generation(store: LocalStore) -> None:
    kept = MapStore(store)
    assert kept.newest_layout(GENERATIONS[1]) is None
    kept.keep_layout(GENERATIONS[1], layout_of([1, 2]))
    kept.keep_layout(GENERATIONS[1], layout_of([1, 2, 3], kind="umap"))
    name, layout = kept.newest_layout(GENERATIONS[1]) or pytest.fail("none found")
    assert (name, layout.kind, len(layout)) == (GENERATIONS[1], "umap", 3)


def test_an_older_generation_is_what_a_new_one_begins_from_and_a_newer_one_is_not(store: LocalStore) -> None:
    kept = MapStore(store)
    for place in (0, 1, 4):
        kept.keep_layout(GENERATIONS[place], layout_of(list(range(place + 1))))
    name, layout = kept.newest_layout(GENERATIONS[3]) or pytest.fail("none found")
    assert (name, len(layout)) == (GENERATIONS[1], 2)


def test_layouts_of_old_generations_are_deleted(store: LocalStore) -> None:
    kept = MapStore(store)
    for generation in GENERATIONS:
        kept.keep_layout(generation, layout_of([1]))
    assert [info.key for info in store.list("_map/")] == [layout_key(name, "pca") for name in GENERATIONS[-2:]]


def test_a_damaged_layout_counts_as_none(store: LocalStore) -> None:
    kept = MapStore(store)
    kept.keep_layout(GENERATIONS[0], layout_of([1]))
    store.put(layout_key(GENERATIONS[1], "pca"), b"torn")
    name, _ = kept.newest_layout(GENERATIONS[1]) or pytest.fail("none found")
    assert name == GENERATIONS[0]


def test_vectors_of_words_belong_to_a_model_and_to_the_words(store: LocalStore) -> None:
    kept = MapStore(store)
    vectors = np.eye(2, dtype=np.float32)
    assert kept.word_vectors("f00d", ("dog", "cat")) is None
    kept.keep_word_vectors("f00d", ("dog", "cat"), vectors)
    assert (kept.word_vectors("f00d", ("dog", "cat")) == vectors).all()
    assert kept.word_vectors("beef", ("dog", "cat")) is None
    assert kept.word_vectors("f00d", ("dog", "cow")) is None


@pytest.mark.parametrize("damage", [b"", b"torn", "half", "long"])
def test_damaged_vectors_of_words_count_as_none(store: LocalStore, damage: bytes | str) -> None:
    kept = MapStore(store)
    kept.keep_word_vectors("f00d", ("dog", "cat"), np.eye(2, dtype=np.float32))
    (info,) = store.list("_map/words/")
    if damage == "long":
        kept.keep_word_vectors("f00d", ("dog", "cat"), np.eye(3, dtype=np.float32))
    else:
        store.put(info.key, damage if isinstance(damage, bytes) else store.get(info.key).data[:-4])
    assert kept.word_vectors("f00d", ("dog", "cat")) is None


def test_a_store_that_is_full_costs_the_work_again_and_nothing_else(
    store: LocalStore, caplog: pytest.LogCaptureFixture
) -> None:
    kept = MapStore(FullStore(store))
    with caplog.at_level(logging.WARNING):
        kept.keep_layout(GENERATIONS[0], layout_of([1]))
        kept.keep_word_vectors("f00d", ("dog",), np.eye(1, dtype=np.float32))
    assert len(caplog.records) == 2
    assert "disk is full" in caplog.text
