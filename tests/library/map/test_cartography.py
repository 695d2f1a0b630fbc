"""The layout of a library that changes: nothing jumps, new pictures lie beside their neighbours, replicas share it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.snapshot import Snapshot
from app.catalog.view import View
from app.errors import VectorStoreUnavailable
from app.library.map.cartography import CANDIDATES, MIN_UMAP, Cartographer, PictureMap
from app.library.map.store import MapStore, layout_key
from app.library.map.words import WORDS
from app.settings import IndexSettings
from app.storage.base import ObjectStore
from app.storage.local import LocalStore
from app.types import ModelIdentity, Vectors, image_id_of
from app.vectors.base import VectorServer
from tests.support.catalogs import MODEL, OTHER_MODEL, catalog_on, record, removing, row_of
from tests.support.vector_servers import MemoryServer

GROUPS = ("cats", "dogs", "cars")


def keys(count: int, *, groups: Sequence[str] = GROUPS, first: int = 0) -> list[str]:
    return [f"{groups[number % len(groups)]}/{number}.jpg" for number in range(first, first + count)]


def vector_of(key: str, etag: str = "1") -> Vectors:
    """Pictures of one folder look alike."""
    folder = key.partition("/")[0]
    rng = np.random.default_rng(row_of(key + etag) % 2**32)
    axis = np.random.default_rng(row_of(folder) % 2**32).standard_normal(MODEL.dimension)
    row = axis / np.linalg.norm(axis) + 0.12 * rng.standard_normal(MODEL.dimension)
    return (row / np.linalg.norm(row)).astype(np.float32)


def adding(names: Sequence[str], etag: str = "1") -> Changes:
    return Changes(
        added=tuple(record(name, etag) for name in names), vectors=np.stack([vector_of(name, etag) for name in names])
    )


class Library:
    """A published library and a cartographer of it."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        has_umap: bool = False,
        settings: IndexSettings | None = None,
        server: VectorServer | None = None,
    ) -> None:
        self.store = store
        self.catalog: Catalog = catalog_on(store, settings, server=server)
        self.cartographer = Cartographer(MapStore(store), self.view, has_umap=has_umap)

    def snapshot(self) -> Snapshot:
        snapshot = self.catalog.load()
        assert snapshot is not None
        return snapshot

    def view(self, folders: Sequence[str] = ("",)) -> View:
        return View(self.snapshot(), folders)

    def publish(self, changes: Changes, model: ModelIdentity = MODEL, *, rebuild: bool = False) -> None:
        self.catalog.publish(changes, model, since=None if rebuild else self.catalog.load(), rebuild=rebuild)

    def chart(self, folders: Sequence[str] = ("",), words: Vectors | None = None) -> PictureMap:
        return self.cartographer.chart(self.view(folders), words)


def places(answer: PictureMap) -> dict[int, tuple[float, float]]:
    return {row: (x, y) for row, (x, y) in zip(answer.rows.tolist(), answer.points.tolist(), strict=True)}


def centre(answer: PictureMap, group: str) -> np.ndarray:
    found = places(answer)
    return np.median([found[row_of(key)] for key in keys(90) if key.startswith(group) and row_of(key) in found], axis=0)


def shift(before: PictureMap, after: PictureMap) -> float:
    """The mean way that pictures of both maps have gone."""
    old, new = places(before), places(after)
    return float(np.mean([np.hypot(*np.subtract(old[row], new[row])) for row in old.keys() & new.keys()]))


@pytest.fixture
def library(tmp_path: Path) -> Library:
    library = Library(LocalStore(tmp_path))
    library.publish(adding(keys(90)))
    return library


def test_pictures_that_look_alike_lie_together(library: Library) -> None:
    answer = library.chart()
    assert (answer.layout, len(answer.rows), answer.placed) == ("pca", 90, 0)
    found, centres = places(answer), np.array([centre(answer, group) for group in GROUPS])
    for key in keys(90):
        distances = np.linalg.norm(centres - found[row_of(key)], axis=1)
        assert GROUPS[distances.argmin()] == key.partition("/")[0], key


@pytest.mark.parametrize("count", [1, 2, 3])
def test_tiny_libraries(tmp_path: Path, count: int) -> None:
    library = Library(LocalStore(tmp_path))
    library.publish(adding(keys(count)))
    answer = library.chart()
    assert len(answer.rows) == len({tuple(each) for each in answer.points.tolist()}) == count


def test_a_library_that_loses_all_its_pictures_and_gets_some_again(library: Library) -> None:
    library.chart()
    library.publish(removing(*keys(90)))
    empty = library.chart()
    assert (len(empty.rows), empty.points.shape, empty.regions) == (0, (0, 2), ())
    library.publish(adding(keys(4)))
    assert len(library.chart().rows) == 4


def test_a_new_picture_lies_among_its_own_kind_and_the_others_stay(library: Library) -> None:
    before = library.chart()
    library.publish(adding(["dogs/new.jpg"]))
    after = library.chart()
    assert (len(after.rows), after.placed) == (91, 1)
    assert shift(before, after) == 0
    centres = {group: centre(after, group) for group in GROUPS}
    near = min(GROUPS, key=lambda group: np.linalg.norm(centres[group] - places(after)[row_of("dogs/new.jpg")]))
    assert near == "dogs"


def test_a_copy_lies_where_its_original_lies(library: Library) -> None:
    library.chart()
    twin = adding([keys(90)[7]])
    library.publish(replace(twin, added=(replace(twin.added[0], image_id=image_id_of("x.jpg"), object_key="x.jpg"),)))
    found = places(library.chart())
    assert found[row_of("x.jpg")] == found[row_of(keys(90)[7])]


def test_a_picture_whose_neighbours_are_all_new_lies_beside_what_was_there(tmp_path: Path) -> None:
    library = Library(LocalStore(tmp_path))
    library.publish(adding(keys(500)))
    before = library.chart()
    library.publish(adding([f"boats/{number}.jpg" for number in range(CANDIDATES + 8)]))
    after = library.chart()
    assert after.placed == CANDIDATES + 8
    assert shift(before, after) == 0
    assert np.isfinite(after.points).all()
    assert np.abs(after.points).max() <= np.abs(before.points).max()


def test_a_picture_that_was_replaced_by_another_one_moves(library: Library) -> None:
    before = library.chart()
    moved = replace(record("cats/0.jpg", "2"))
    library.publish(Changes(added=(moved,), vectors=vector_of("cars/3.jpg")[None]))
    after = library.chart()
    assert after.placed == 1
    assert np.linalg.norm(np.subtract(places(after)[row_of("cats/0.jpg")], centre(after, "cars"))) < 1
    assert np.linalg.norm(np.subtract(places(before)[row_of("cats/0.jpg")], centre(before, "cars"))) > 1


def test_a_picture_that_is_deleted_is_gone_and_the_others_stay(library: Library) -> None:
    before = library.chart()
    library.publish(removing("cats/0.jpg"))
    after = library.chart()
    assert row_of("cats/0.jpg") not in places(after)
    assert (len(after.rows), shift(before, after)) == (89, 0)


def test_many_new_pictures_make_a_new_layout_that_is_turned_onto_the_old_one(library: Library) -> None:
    before = library.chart()
    library.publish(adding(keys(60, first=90)))
    after = library.chart()
    assert (after.placed, len(after.rows)) == (0, 150)
    assert 0 < shift(before, after) < 0.25


def test_each_generation_has_its_layout_and_begins_from_the_one_before(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    library = Library(store, settings=IndexSettings(journal_max_rows=0))
    library.publish(adding(keys(90)))
    first, before = library.view().generation, library.chart()
    library.publish(adding(["dogs/new.jpg"]))
    second, after = library.view().generation, library.chart()
    assert first != second
    assert (after.generation, after.placed, shift(before, after)) == (second, 1, 0)
    kept = MapStore(store).layout(second, "pca")
    assert kept is not None
    assert len(kept) == 91


def test_after_a_restart_the_same_map_is_there_at_once(library: Library) -> None:
    before = library.chart()

    class Unread(View):
        def vectors_of(self, rows: Sequence[int]) -> Vectors:
            raise AssertionError("no vector is read for a layout that is kept")

    view = Unread(library.snapshot())
    after = Cartographer(MapStore(library.store), lambda: view, has_umap=False).chart(view, None)
    assert places(after) == places(before)


def test_an_index_of_another_model_is_laid_out_anew_and_turned_onto_the_old_map(library: Library) -> None:
    before = library.chart()
    library.publish(adding(keys(90)), OTHER_MODEL, rebuild=True)
    after = library.chart()
    assert after.placed == 0
    assert shift(before, after) < 0.1


def test_a_damaged_layout_is_made_again(library: Library) -> None:
    before = library.chart()
    library.store.put(layout_key(before.generation, "pca"), b"torn")
    assert places(Library(library.store).chart()) == places(before)


def test_a_narrowed_view_has_its_own_pictures_in_the_same_places(library: Library) -> None:
    whole, part = library.chart(), library.chart(["cats"])
    assert len(part.rows) == 30
    assert places(part).items() <= places(whole).items()
    assert sum(region.count for region in part.regions) == 30
    assert part.digest != whole.digest
    assert len(library.chart(["elsewhere"]).rows) == 0


def test_names_of_a_narrowed_view_are_made_of_what_it_shows(library: Library) -> None:
    """A word for hidden pictures would tell of them."""
    library.chart()
    read: set[int] = set()

    class Watched(View):
        def vectors_of(self, rows: Sequence[int]) -> Vectors:
            read.update(rows)
            return super().vectors_of(rows)

    words = np.stack([vector_of(word) for word in WORDS])
    answer = library.cartographer.chart(Watched(library.snapshot(), ["cats"]), words)
    assert all(region.name in WORDS for region in answer.regions)
    assert read == {row_of(key) for key in keys(90) if key.startswith("cats/")}


def test_the_digest_is_equal_for_equal_answers_only(library: Library) -> None:
    first, again = library.chart(), library.chart()
    assert first.digest == again.digest
    library.publish(adding(["dogs/new.jpg"]))
    assert library.chart().digest != first.digest


def test_a_vector_server_has_the_vectors(tmp_path: Path) -> None:
    library = Library(LocalStore(tmp_path), server=MemoryServer())
    library.publish(adding(keys(90)))
    before = library.chart()
    library.publish(adding(["dogs/new.jpg"]))
    after = library.chart()
    assert (len(after.rows), after.placed, shift(before, after)) == (91, 1, 0)


def test_a_vector_that_a_server_has_lost_is_told(library: Library) -> None:
    class Lossy(View):
        def vectors_of(self, rows: Sequence[int]) -> Vectors:
            raise KeyError(rows[0])

    lossy = Lossy(library.snapshot())
    with pytest.raises(VectorStoreUnavailable, match="image2search index"):
        Cartographer(MapStore(library.store), lambda: lossy, has_umap=False).chart(lossy, None)


def umap_points(count: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, 2)).astype(np.float32) * 7


def refined(library: Library, folder: Path) -> PictureMap:
    """The map after UMAP; the points are made up."""
    folder.mkdir()
    laid_out = library.cartographer.write_input(folder)
    assert np.load(folder / "vectors.npy").shape == (len(laid_out), MODEL.dimension)
    assert np.load(folder / "start.npy") == pytest.approx(laid_out.points)
    library.cartographer.adopt(laid_out, umap_points(len(laid_out)))
    return library.chart()


@pytest.fixture
def with_umap(tmp_path: Path) -> Library:
    library = Library(LocalStore(tmp_path / "store"), has_umap=True)
    (tmp_path / "store").mkdir(exist_ok=True)
    library.publish(adding(keys(MIN_UMAP)))
    return library


def test_umap_takes_the_place_of_the_principal_components(with_umap: Library, tmp_path: Path) -> None:
    first = with_umap.chart()
    assert (first.layout, first.pending) == ("pca", ("umap", "names"))
    after = refined(with_umap, tmp_path / "work")
    assert (after.layout, after.pending, after.placed) == ("umap", ("names",), 0)
    spread = np.sqrt(((after.points - after.points.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert spread == pytest.approx(1, rel=0.01)
    assert places(Library(with_umap.store).chart()) == places(after)


def test_pictures_that_came_while_umap_was_at_work_are_put_beside_their_neighbours(
    with_umap: Library, tmp_path: Path
) -> None:
    with_umap.chart()
    laid_out = with_umap.cartographer.write_input(tmp_path)
    with_umap.publish(adding(["dogs/new.jpg"]))
    with_umap.publish(removing("cats/0.jpg"))
    with_umap.cartographer.adopt(laid_out, umap_points(len(laid_out)))
    after = with_umap.chart()
    assert (after.layout, len(after.rows), after.placed) == ("umap", MIN_UMAP, 1)


def test_a_umap_layout_is_shown_until_the_next_one_is_ready(with_umap: Library, tmp_path: Path) -> None:
    with_umap.chart()
    before = refined(with_umap, tmp_path / "work")
    with_umap.publish(adding(keys(40, first=MIN_UMAP)))
    meanwhile = with_umap.chart()
    assert (meanwhile.layout, meanwhile.placed, meanwhile.pending) == ("umap", 40, ("umap", "names"))
    assert shift(before, meanwhile) == 0
    after = refined(with_umap, tmp_path / "more work")
    assert (after.layout, after.placed, after.pending) == ("umap", 0, ("names",))


def test_a_replica_takes_over_what_another_one_has_worked_out(with_umap: Library, tmp_path: Path) -> None:
    other = Library(with_umap.store, has_umap=True)
    assert other.chart().layout == with_umap.chart().layout == "pca"
    assert not other.cartographer.adopt_kept()
    done = refined(with_umap, tmp_path / "work")
    assert other.cartographer.adopt_kept()
    assert places(other.chart()) == places(done)


def test_umap_of_another_models_vectors_is_dropped(with_umap: Library, tmp_path: Path) -> None:
    with_umap.chart()
    laid_out = with_umap.cartographer.write_input(tmp_path)
    with_umap.publish(adding(keys(MIN_UMAP)), OTHER_MODEL, rebuild=True)
    with_umap.cartographer.adopt(laid_out, umap_points(len(laid_out)))
    assert with_umap.chart().layout == "pca"


def test_few_pictures_need_no_umap(tmp_path: Path) -> None:
    library = Library(LocalStore(tmp_path), has_umap=True)
    library.publish(adding(keys(MIN_UMAP - 1)))
    assert library.chart().pending == ("names",)
