"""FaissStore against brute force, through adds, replacements, removals, copies and a file."""

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import IndexCorrupt
from app.settings import VectorSettings
from app.types import Ids, Vectors, in_folder
from app.vectors.base import EXACT, FEW_QUERIES
from app.vectors.faiss.store import FaissStore, Rows, Saved

DIMENSION = 16
NOTHING = Rows(np.empty(0, np.int64), [], np.empty(0, np.int32))
FOLDERS = ["", "animals", "animals/cats", "animals-old", "food", "nature/beach"]


def unit_rows(count: int, seed: int = 0) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def random_ids(count: int, seed: int = 0) -> Ids:
    return np.unique(np.random.default_rng(seed).integers(-(2**63), 2**63 - 1, count * 2))[:count]


class Model:
    """The same rows in a dict, searched by brute force."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[Vectors, str]] = {}

    def search(self, query: Vectors, k: int, folders: tuple[str, ...]) -> list[tuple[int, float]]:
        hits = [
            (row, float(vector @ query))
            for row, (vector, folder) in self.rows.items()
            if not folders or any(in_folder(folder, wanted) for wanted in folders)
        ]
        return sorted(hits, key=lambda hit: -hit[1])[:k]


def assert_same(store: FaissStore, model: Model, folders: tuple[str, ...] = (), k: int = 7) -> None:
    queries = unit_rows(3, seed=99)
    for query, hits in zip(queries, store.search(queries, k, folders=folders), strict=True):
        expected = model.search(query, k, folders)
        assert [row for row, _ in hits] == [row for row, _ in expected]
        assert [score for _, score in hits] == pytest.approx([score for _, score in expected], abs=1e-5)
    assert len(store) == len(model.rows)


def filled(count: int, seed: int = 0) -> tuple[FaissStore, Model]:
    store, model = FaissStore(DIMENSION), Model()
    ids, vectors = random_ids(count, seed), unit_rows(count, seed)
    folders = [FOLDERS[i % len(FOLDERS)] for i in range(count)]
    store.add(ids, vectors, folders)
    model.rows = {int(row): (vector, folder) for row, vector, folder in zip(ids, vectors, folders, strict=True)}
    return store, model


def rows_of(saved: Saved, folder_of: Callable[[int], str]) -> Rows:
    """What the catalog keeps of the rows in a file."""
    of_rows = [folder_of(int(row)) for row in saved.ids]
    folders = sorted(set(of_rows))
    return Rows(saved.ids, folders, np.array([folders.index(folder) for folder in of_rows], np.int32))


def reloaded(store: FaissStore, model: Model, tmp_path: Path) -> FaissStore:
    saved = store.save(tmp_path / "index.bin", VectorSettings())
    try:
        return FaissStore.load(tmp_path / "index.bin", rows_of(saved, lambda row: model.rows[row][1]), saved.accuracy)
    finally:
        (tmp_path / "index.bin").unlink()  # A mapped file lives on.


@pytest.mark.parametrize("folders", [(), ("animals",), ("food", "nature"), ("animals/cats", "animals"), ("nowhere",)])
def test_search_matches_brute_force_before_and_after_a_file(tmp_path: Path, folders: tuple[str, ...]) -> None:
    store, model = filled(200)
    assert_same(store, model, folders)
    assert_same(reloaded(store, model, tmp_path), model, folders)


@pytest.mark.parametrize("folders", [(), ("animals",), ("food",)])
def test_few_queries_find_together_to_the_last_bit_what_each_finds_alone(
    tmp_path: Path, folders: tuple[str, ...]
) -> None:
    """In the file, and among rows that were added since: ties too."""
    store, model = filled(3000)
    loaded = reloaded(store, model, tmp_path)
    loaded.add(np.arange(500), unit_rows(500, seed=7), [FOLDERS[number % len(FOLDERS)] for number in range(500)])
    some = unit_rows(FEW_QUERIES, seed=99)
    for k in (1, 10, 4000):
        alone = [loaded.search(query[None], k, folders=folders)[0] for query in some]
        assert loaded.search(some, k, folders=folders) == alone


def test_a_folder_is_not_its_longer_namesake(tmp_path: Path) -> None:
    store, model = filled(60)
    hits = reloaded(store, model, tmp_path).search(unit_rows(1), 60, folders=["animals"])[0]
    assert {model.rows[row][1] for row, _ in hits} == {"animals", "animals/cats"}


def test_changes_on_a_loaded_index(tmp_path: Path) -> None:
    store, model = filled(100)
    store = reloaded(store, model, tmp_path)
    old, new = list(model.rows)[:10], random_ids(15, seed=7)
    moved, fresh = unit_rows(10, seed=5), unit_rows(15, seed=6)
    assert store.remove([*old[:5], 12345]) == 5
    store.add(np.array(old[5:], np.int64), moved[5:], ["food"] * 5)
    store.add(new, fresh, ["new/place"] * 15)
    for row in old[:5]:
        del model.rows[row]
    model.rows |= {row: (moved[5 + i], "food") for i, row in enumerate(old[5:])}
    model.rows |= {int(row): (fresh[i], "new/place") for i, row in enumerate(new)}
    for folders in [(), ("food",), ("new",), ("animals",)]:
        assert_same(store, model, folders)
    assert_same(reloaded(store, model, tmp_path), model)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_only_some_rows_are_searched_exactly(tmp_path: Path, share: float) -> None:
    """Rows of the file, rows that were replaced, removed or added since, and rows that there never were."""
    store, model = filled(400)
    store = reloaded(store, model, tmp_path)
    replaced, removed, added = list(model.rows)[:20], list(model.rows)[20:40], random_ids(20, seed=7)
    store.remove(removed)
    store.add(np.array([*replaced, *added], np.int64), unit_rows(40, seed=5), ["food"] * 40)
    model.rows |= dict(zip([*replaced, *added.tolist()], ((row, "food") for row in unit_rows(40, seed=5)), strict=True))
    for row in removed:
        del model.rows[row]
    everything = np.array([*model.rows, *removed, *random_ids(5, seed=8)], np.int64)
    among = np.random.default_rng(1).choice(everything, round(share * len(everything)), replace=False)
    left = Model()
    left.rows = {row: model.rows[row] for row in among.tolist() if row in model.rows}
    for folders in ((), ("food",), ("animals", "nature")):
        for query in unit_rows(3, seed=99):
            (hits,) = store.search(query[None], 9, folders=folders, among=among)
            assert [row for row, _ in hits] == [row for row, _ in left.search(query, 9, folders)]
    assert store.search(unit_rows(2), 3, among=among[:0]) == [[], []]


def test_k_hits_come_whenever_k_are_eligible(tmp_path: Path) -> None:
    store, model = filled(600)
    store = reloaded(store, model, tmp_path)
    for folder in FOLDERS[1:]:
        eligible = sum(in_folder(f, folder) for _, f in model.rows.values())
        for k in (1, eligible - 1, eligible, eligible + 5):
            assert len(store.search(unit_rows(1), k, folders=[folder])[0]) == min(k, eligible)


def test_a_large_selection_is_exact_too(tmp_path: Path) -> None:
    """Above GATHER_SHARE FAISS scans with a bitmap; 5 of 6 folders takes that path, and so do removed rows."""
    store, model = filled(600)
    store = reloaded(store, model, tmp_path)
    assert_same(store, model, ("animals", "animals-old", "food", "nature"))
    for row in list(model.rows)[::3]:
        store.remove([row])
        del model.rows[row]
    assert_same(store, model)


def test_a_copy_and_its_origin_do_not_see_each_other(tmp_path: Path) -> None:
    store, model = filled(50)
    store = reloaded(store, model, tmp_path)
    assert_same(store, model, ("food",))
    twin, twin_model = store.copy(), Model()
    twin_model.rows = dict(list(model.rows.items())[10:])
    twin.remove(list(model.rows)[:10])
    twin.add(np.array([1], np.int64), unit_rows(1, seed=3), ["food"])
    twin_model.rows[1] = (unit_rows(1, seed=3)[0], "food")
    assert_same(store, model, ("food",))
    assert_same(store, model)
    assert_same(twin, twin_model, ("food",))
    assert_same(twin, twin_model)


def test_get_returns_vectors_in_the_asked_order_and_refuses_absent_ids(tmp_path: Path) -> None:
    store, model = filled(20)
    store = reloaded(store, model, tmp_path)
    store.add(np.array([5], np.int64), unit_rows(1, seed=4), [""])
    rows = [5, *list(model.rows)[:3]]
    expected = np.stack([unit_rows(1, seed=4)[0], *(model.rows[row][0] for row in rows[1:])])
    np.testing.assert_array_equal(store.get(rows), expected)
    store.remove(rows[:2])
    for gone in rows[:2]:
        with pytest.raises(KeyError):
            store.get([gone])


def test_an_empty_store_answers_nothing_and_survives_a_file(tmp_path: Path) -> None:
    store, model = FaissStore(DIMENSION), Model()
    assert store.search(unit_rows(2), 5) == [[], []]
    again = reloaded(store, model, tmp_path)
    assert again.search(unit_rows(1), 5, folders=["x"]) == [[]]
    again.add(np.array([3], np.int64), unit_rows(1), ["x"])
    assert [row for row, _ in again.search(unit_rows(1), 5, folders=["x"])[0]] == [3]


@pytest.mark.parametrize("loaded", [False, True])
def test_equal_scores_come_in_a_stable_order_whichever_layer_holds_them(tmp_path: Path, loaded: bool) -> None:
    store, model = FaissStore(DIMENSION), Model()
    ids = np.random.default_rng(1).permutation(300).astype(np.int64)
    same = np.repeat(unit_rows(1), 300, axis=0)
    store.add(ids, same, [""] * 300)
    model.rows = {int(row): (same[0], "") for row in ids}
    store = reloaded(store, model, tmp_path) if loaded else store
    assert [row for row, _ in store.search(same[:1], 5)[0]] == [0, 1, 2, 3, 4]
    store.remove([0, 2])
    assert [row for row, _ in store.search(same[:1], 3)[0]] == [1, 3, 4]


def test_a_selection_is_made_anew_after_a_change(tmp_path: Path) -> None:
    store, model = filled(30)
    store = reloaded(store, model, tmp_path)
    assert_same(store, model, ("food",))
    gone = next(row for row, (_, folder) in model.rows.items() if folder == "food")
    store.remove([gone])
    del model.rows[gone]
    assert_same(store, model, ("food",))


def test_scores_stay_within_a_cosines_range() -> None:
    store = FaissStore(DIMENSION)
    long = unit_rows(1) * np.float32(1.001)
    store.add(np.array([1], np.int64), long, [""])
    assert store.search(long, 1) == [[(1, 1.0)]]
    assert store.search(-long, 1) == [[(1, -1.0)]]


def test_a_vector_that_is_no_number_is_refused() -> None:
    vectors = unit_rows(2)
    vectors[1, 3] = np.nan
    with pytest.raises(ValueError, match="no number"):
        FaissStore(DIMENSION).add(np.array([1, 2], np.int64), vectors, ["", ""])


def test_a_folder_that_a_copy_learns_is_unknown_to_its_origin(tmp_path: Path) -> None:
    store, model = filled(20)
    twin = store.copy()
    twin.add(np.array([1], np.int64), unit_rows(1, seed=3), ["only/here"])
    assert store.search(unit_rows(1), 5, folders=["only"]) == [[]]
    assert_same(store, model)
    assert [row for row, _ in twin.search(unit_rows(1), 5, folders=["only"])[0]] == [1]


@pytest.mark.parametrize(("ids", "rows", "folders"), [([1, 2], 1, ["a", "b"]), ([1], 1, []), ([1, 1], 2, ["a", "b"])])
def test_rows_that_do_not_fit_together_are_refused(ids: list[int], rows: int, folders: list[str]) -> None:
    with pytest.raises(ValueError, match="distinct ids"):
        FaissStore(DIMENSION).add(np.array(ids, np.int64), unit_rows(rows), folders)


def test_a_file_that_is_no_index_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "torn.bin").write_bytes(b"IxM2 and then nothing")
    with pytest.raises(IndexCorrupt, match=r"torn\.bin"):
        FaissStore.load(tmp_path / "torn.bin", NOTHING, EXACT)
    faiss.write_index(faiss.IndexFlatIP(4), str(tmp_path / "bare.bin"))
    with pytest.raises(IndexCorrupt, match=r"bare\.bin"):
        FaissStore.load(tmp_path / "bare.bin", NOTHING, EXACT)


def test_a_file_of_other_rows_than_the_metadata_lists_is_corrupt(tmp_path: Path) -> None:
    store, model = filled(20)
    saved = store.save(tmp_path / "index.bin", VectorSettings())
    rows = rows_of(saved, lambda row: model.rows[row][1])
    for ids in (rows.ids[:-1], rows.ids[::-1]):
        with pytest.raises(IndexCorrupt, match="same pictures"):
            FaissStore.load(tmp_path / "index.bin", Rows(ids, rows.folders, rows.codes[: len(ids)]), saved.accuracy)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.sampled_from(FOLDERS)), max_size=30))
def test_any_sequence_of_changes_matches_brute_force(steps: list[tuple[bool, int, str]]) -> None:
    store, model = FaissStore(DIMENSION), Model()
    for number, (adds, row, folder) in enumerate(steps):
        if adds:
            vector = unit_rows(1, seed=number)
            store.add(np.array([row], np.int64), vector, [folder])
            model.rows[row] = (vector[0], folder)
        else:
            assert store.remove([row]) == int(model.rows.pop(row, None) is not None)
    for folders in [(), ("animals",), ("food", "nature")]:
        assert_same(store, model, folders)
