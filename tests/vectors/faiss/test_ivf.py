"""FaissStore in its approximate shapes: recall, filters, changes and what a file keeps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.settings import VectorSettings
from app.types import Ids, Vectors, in_folder
from app.vectors.base import FEW_QUERIES
from app.vectors.faiss.build import fits
from app.vectors.faiss.ivf import GATHER_ROWS, IvfIndex, probes_for
from app.vectors.faiss.store import FaissStore, Rows, Saved
from app.vectors.faiss.tuning import recall_of

COUNT, DIMENSION, CLUSTERS = 20_000, 48, 150
SHAPES = ("ivf_sq8", "ivf_rabitq")
RECALL = 0.98


def clustered(count: int, seed: int) -> tuple[Vectors, Ids]:
    """(N, D) unit rows around centres of uneven weight, and the centre of each."""
    shape = np.random.default_rng(1)
    centres, weights = shape.standard_normal((CLUSTERS, DIMENSION)), shape.pareto(2, CLUSTERS) + 0.2
    rng = np.random.default_rng(seed)
    of_rows = rng.choice(CLUSTERS, count, p=weights / weights.sum())
    rows = (centres[of_rows] + 0.7 * rng.standard_normal((count, DIMENSION))).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), of_rows


class Collection:
    """Rows in folders: `rare/<n>` holds few, `near/<c>` those of one cluster, the rest lie in `common/<n>`."""

    def __init__(self) -> None:
        self.vectors, centre = clustered(COUNT, seed=2)
        self.ids = np.random.default_rng(3).permutation(10 * COUNT)[:COUNT] - 5 * COUNT
        self.folders = [self._folder(number, int(of)) for number, of in enumerate(centre)]

    def _folder(self, number: int, centre: int) -> str:
        if number % 1000 == 0:
            return f"rare/{number % 3}"
        if centre < 20 and number % 2:
            return f"near/{centre}"
        return f"common/{number % 7}"

    def store(self) -> FaissStore:
        store = FaissStore(DIMENSION)
        store.add(self.ids, self.vectors, self.folders)
        return store

    def rows(self, saved: Saved) -> Rows:
        return rows_of(saved, dict(zip(self.ids.tolist(), self.folders, strict=True)))


def rows_of(saved: Saved, folder_of: dict[int, str]) -> Rows:
    of_rows = [folder_of[row] for row in saved.ids.tolist()]
    folders = sorted(set(of_rows))
    number = {folder: code for code, folder in enumerate(folders)}
    return Rows(saved.ids, folders, np.array([number[folder] for folder in of_rows], np.int32))


def lie_below(folders: list[str], wanted: Sequence[str]) -> NDArray[np.bool_]:
    """For each folder: whether it is one of the wanted ones or below one; all are, without wanted ones."""
    below = {name for name in set(folders) if not wanted or any(in_folder(name, each) for each in wanted)}
    return np.array([folder in below for folder in folders])


def truth(ids: Ids, vectors: Vectors, folders: list[str], queries: Vectors, wanted: tuple[str, ...]) -> Ids:
    """(Q, 10) ids of the best rows in the folders, -1 where there are fewer."""
    chosen = lie_below(folders, wanted)
    best = np.argsort(-(queries @ vectors[chosen].T), axis=1)[:, :10]
    found = ids[chosen][best]
    return np.pad(found, ((0, 0), (0, 10 - found.shape[1])), constant_values=-1)


def ids_of(answers: list[list[tuple[int, float]]]) -> Ids:
    width = max(map(len, answers))
    return np.array([[row for row, _ in hits] + [-(10**15)] * (width - len(hits)) for hits in answers])


@pytest.fixture(scope="module")
def collection() -> Collection:
    return Collection()


@pytest.fixture(scope="module", params=SHAPES)
def built(
    request: pytest.FixtureRequest, collection: Collection, tmp_path_factory: pytest.TempPathFactory
) -> FaissStore:
    path = tmp_path_factory.mktemp(request.param) / "index.bin"
    saved = collection.store().save(path, VectorSettings(shape=request.param, recall=RECALL))
    store = FaissStore.load(path, collection.rows(saved), saved.accuracy)
    path.unlink()
    return store


def queries() -> Vectors:
    """Half of them near rows, half between two, as texts lie."""
    near, (left, _), (right, _) = clustered(100, seed=5)[0], clustered(100, seed=6), clustered(100, seed=7)
    far = left + right
    return np.concatenate([near, far / np.linalg.norm(far, axis=1, keepdims=True)])


def test_the_build_measures_the_recall_that_it_was_asked_for(built: FaissStore, collection: Collection) -> None:
    accuracy = built.accuracy
    assert not accuracy.exact
    assert accuracy.queries == 200
    assert accuracy.recall is not None
    assert accuracy.recall >= RECALL - 0.015
    expected = truth(collection.ids, collection.vectors, collection.folders, queries(), ())
    assert recall_of(ids_of(built.search(queries(), 10)), expected) >= RECALL - 0.015


@pytest.mark.parametrize(
    "folders",
    [
        ("rare/1",), ("rare",), ("near/3",), ("near",), ("common/2",), ("common",), ("rare", "near", "common/1"),
        ("near/1", "near/7"),
    ],
)  # fmt: skip
def test_filtered_recall(built: FaissStore, collection: Collection, folders: tuple[str, ...]) -> None:
    expected = truth(collection.ids, collection.vectors, collection.folders, queries(), folders)
    answers = built.search(queries(), 10, folders=folders)
    assert recall_of(ids_of(answers), expected) >= RECALL
    eligible = set(collection.ids[lie_below(collection.folders, folders)].tolist())
    assert all({row for row, _ in hits} <= eligible for hits in answers)
    assert all(len(hits) == min(10, len(eligible)) for hits in answers)


def test_the_filters_above_take_both_paths(collection: Collection) -> None:
    """Small selections are gathered, large ones scanned."""
    sizes = {name: lie_below(collection.folders, [name]).sum() for name in ("rare", "near/3", "common")}
    assert sizes["rare"] < sizes["near/3"] < GATHER_ROWS < sizes["common"]


def test_k_hits_come_whenever_k_are_eligible(built: FaissStore, collection: Collection) -> None:
    for folder in ("rare/0", "near/1", "common/3", ""):
        eligible = int(lie_below(collection.folders, [folder]).sum())
        for k in (1, 100, 500, eligible, eligible + 3):
            hits = built.search(queries()[:2], k, folders=[folder] if folder else [])
            assert [len(row) for row in hits] == [min(k, eligible)] * 2
            assert all(len({row for row, _ in found}) == len(found) for found in hits)
            scores = [score for _, score in hits[0]]
            assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("folder", ["", "common", "rare"])
def test_few_queries_find_together_to_the_last_bit_what_each_finds_alone(built: FaissStore, folder: str) -> None:
    """Also where some of them have to look through more lists than others to find as many rows."""
    some, folders = queries()[95:111], [folder] if folder else []
    assert len(some) == FEW_QUERIES
    for k in (1, 10, 2500):
        alone = [built.search(query[None], k, folders=folders)[0] for query in some]
        assert built.search(some, k, folders=folders) == alone


def test_a_row_is_found_by_its_own_vector(built: FaissStore, collection: Collection) -> None:
    answers = built.search(collection.vectors[:300], 1)
    assert [hits[0][0] for hits in answers] == collection.ids[:300].tolist()
    assert min(hits[0][1] for hits in answers) > 0.99


def test_stored_vectors_are_close_to_the_true_ones(built: FaissStore, collection: Collection) -> None:
    vectors = built.get(collection.ids.tolist())
    assert (vectors * collection.vectors).sum(1).min() > 0.9995
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(COUNT), abs=1e-5)


def test_removed_rows_are_never_found_and_added_ones_always(built: FaissStore, collection: Collection) -> None:
    store = built.copy()
    asked = collection.vectors[:40]
    store.remove(collection.ids[:40].tolist())
    assert not {row for hits in store.search(asked, 10) for row, _ in hits} & set(collection.ids[:40].tolist())
    added = np.arange(10**6, 10**6 + 40)
    store.add(added, asked, ["fresh"] * 40)
    assert [hits[0] for hits in store.search(asked, 1)] == [(row, 1.0) for row in added.tolist()]
    assert [hits[0][0] for hits in store.search(asked, 1, folders=["fresh"])] == added.tolist()
    assert {row for hits in built.search(asked, 1) for row, _ in hits} == set(collection.ids[:40].tolist())


def test_folding_changes_in_leaves_the_codes_of_the_others_as_they_were(
    built: FaissStore, collection: Collection, tmp_path: Path
) -> None:
    """Or vectors would drift a little with every generation."""
    store, folder_of = built.copy(), dict(zip(collection.ids.tolist(), collection.folders, strict=True))
    for number in range(2):
        store.remove(store.ids()[: 1500 + number].tolist())
        new, rows = np.arange(10**6 + 1000 * number, 10**6 + 1000 * number + 700), clustered(700, seed=20 + number)[0]
        store.add(new, rows, ["fresh"] * 700)
        folder_of |= dict.fromkeys(new.tolist(), "fresh")
        saved = store.save(tmp_path / "index.bin", VectorSettings(shape=built.accuracy.shape, recall=RECALL))
        store = FaissStore.load(tmp_path / "index.bin", rows_of(saved, folder_of), saved.accuracy)
        assert [hits[0][0] for hits in store.search(rows, 1)] == new.tolist()
    old = [row for row in store.ids().tolist() if row < 10**6]
    assert len(old) > 10_000
    np.testing.assert_allclose(store.get(old), built.get(old), atol=1e-6)
    everything = np.array(store.ids())
    expected = truth(everything, store.get(everything.tolist()), [""] * len(store), queries(), ())
    assert recall_of(ids_of(store.search(queries(), 10)), expected) >= RECALL - 0.015


@pytest.mark.parametrize(("fewer", "fit"), [(0, True), (COUNT * 3 // 5, False)])
def test_a_fold_takes_over_the_lists_until_they_no_longer_fit(
    built: FaissStore, collection: Collection, tmp_path: Path, fewer: int, fit: bool
) -> None:
    store, folder_of = built.copy(), dict(zip(collection.ids.tolist(), collection.folders, strict=True))
    new = np.arange(10**7, 10**7 + 500)
    store.remove(store.ids()[:fewer].tolist())
    store.add(new, clustered(500, seed=30)[0], ["fresh"] * 500)
    saved = store.save(tmp_path / "index.bin", VectorSettings(shape=built.accuracy.shape, recall=RECALL))
    rows = rows_of(saved, folder_of | dict.fromkeys(new.tolist(), "fresh"))
    folded = FaissStore.load(tmp_path / "index.bin", rows, saved.accuracy)
    assert isinstance(built.base_index, IvfIndex)
    assert isinstance(folded.base_index, IvfIndex)
    assert np.array_equal(folded.base_index.centroids, built.base_index.centroids) is fit
    assert len(folded) == COUNT - fewer + 500


def test_lists_fit_up_to_a_few_times_their_rows(built: FaissStore) -> None:
    index = built.base_index
    assert isinstance(index, IvfIndex)
    shape = index.accuracy.shape
    assert [fits(index, shape, count) for count in (COUNT // 2, COUNT + 500, 6 * COUNT)] == [True, True, False]
    assert not fits(index, "flat", COUNT)


def test_the_index_stays_in_its_file(collection: Collection, tmp_path: Path) -> None:
    """Codes are mapped, not read: what a store holds in memory of its own is small beside them."""
    saved = collection.store().save(tmp_path / "index.bin", VectorSettings(shape="ivf_sq8"))
    store = FaissStore.load(tmp_path / "index.bin", collection.rows(saved), saved.accuracy)
    mapped = Path("/proc/self/maps").read_text().count(str(tmp_path / "index.bin"))
    assert mapped >= 1
    assert (tmp_path / "index.bin").stat().st_size < COUNT * (DIMENSION + 16) + 300_000
    assert len(store) == COUNT


def test_probes_grow_as_fewer_rows_are_eligible() -> None:
    table = ((1.0, 16), (0.1, 40), (0.01, 200))
    assert [probes_for(table, share) for share in (1.0, 0.1, 0.01, 0.001)] == [16, 40, 200, 200]
    assert 16 < probes_for(table, 0.4) < 40 < probes_for(table, 0.03) < 200


def test_eligible_lists_are_those_that_hold_an_eligible_row(built: FaissStore) -> None:
    index = built.base_index
    assert isinstance(index, IvfIndex)
    rows = np.zeros(COUNT, bool)
    rows[[0, COUNT - 1]] = True
    found = index.eligible(rows)
    assert np.flatnonzero(found.lists).tolist() == sorted({int(index.list_of[0]), int(index.list_of[-1])})
    assert found.count == 2
