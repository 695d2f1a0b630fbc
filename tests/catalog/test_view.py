"""A view of some folders shows what lies in them and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from app.catalog.changes import Changes
from app.catalog.view import View
from app.errors import ImageNotFound
from app.storage.local import LocalStore
from app.types import Skip, image_id_of
from tests.support.catalogs import MODEL, adding, catalog_on, removing, row_of, vector
from tests.support.vector_servers import MemoryServer

KEYS = ("top.jpg", "a/1.jpg", "a/b/2.jpg", "ab/3.jpg", "c/4.jpg", "c/d/5.jpg")


@pytest.fixture(params=["bucket", "server"])
def snapshot(request: pytest.FixtureRequest, tmp_path: Path):
    server = MemoryServer() if request.param == "server" else None
    other = Skip("a/README", "1", "It is no picture.", "unknown")  # not counted: it is no picture that can't be read
    skipped = Changes(skipped=(Skip("a/torn.jpg", "1", "torn"), Skip("torn.jpg", "1", "torn"), other))
    catalog = catalog_on(LocalStore(tmp_path), server=server)
    catalog.publish(adding(*KEYS), MODEL)
    return catalog.publish(skipped, MODEL)


def found(view: View, *folders: str, k: int = 10) -> set[str]:
    return {record.object_key for record, _ in view.search(vector(KEYS[0]), k, folders=folders)}


def test_a_view_shows_everything_by_default(snapshot) -> None:
    view = View(snapshot)
    assert found(view) == set(KEYS)
    assert found(view, "a") == {"a/1.jpg", "a/b/2.jpg"}
    assert (len(view), view.skipped, view.folders) == (6, 2, snapshot.folders)
    assert view.generation == snapshot.pointer.generation


def test_a_view_of_no_folders_shows_nothing(snapshot) -> None:
    """A key that lost its folders must not see all of them."""
    view = View(snapshot, [])
    assert (len(view), view.skipped, dict(view.folders), found(view)) == (0, 0, {}, set())


def test_a_view_of_one_folder_shows_what_is_in_and_below_it(snapshot) -> None:
    view = View(snapshot, ["a"])
    assert found(view) == {"a/1.jpg", "a/b/2.jpg"}
    assert (len(view), view.skipped, view.folders) == (2, 1, {"a": 1, "a/b": 1})
    assert view.record(image_id_of("a/b/2.jpg")).object_key == "a/b/2.jpg"
    np.testing.assert_array_equal(view.vector(image_id_of("a/1.jpg")), vector("a/1.jpg"))


@pytest.mark.parametrize("key", ["top.jpg", "ab/3.jpg", "c/d/5.jpg", "missing.jpg"])
def test_a_picture_outside_is_not_found(snapshot, key: str) -> None:
    view = View(snapshot, ["a"])
    for look_up in (view.record, view.vector):
        with pytest.raises(ImageNotFound, match=image_id_of(key)):
            look_up(image_id_of(key))


@pytest.mark.parametrize(
    ("scope", "folders", "keys"),
    [
        (["a"], ["a/b"], {"a/b/2.jpg"}),
        (["a/b"], ["a"], {"a/b/2.jpg"}),
        (["a"], ["c"], set()),
        (["a"], ["ab"], set()),
        (["a", "c/d"], ["c", "a/b"], {"a/b/2.jpg", "c/d/5.jpg"}),
        (["a", "c"], [], {"a/1.jpg", "a/b/2.jpg", "c/4.jpg", "c/d/5.jpg"}),
        (["nowhere"], [], set()),
        ([], [], set()),
        ([], ["a"], set()),
        (["", "a"], [], set(KEYS)),
    ],
)
def test_a_search_stays_inside_the_view(snapshot, scope: list[str], folders: list[str], keys: set[str]) -> None:
    assert found(View(snapshot, scope), *folders) == keys


def test_the_best_come_first_with_their_cosines(snapshot) -> None:
    hits = View(snapshot, ["a", "c"]).search(vector("c/4.jpg"), 2)
    assert [hits[0][0].object_key, hits[0][1]] == ["c/4.jpg", pytest.approx(1.0)]
    assert len(hits) == 2
    assert hits[1][1] < 1


def test_the_nearest_of_several_vectors_at_once(snapshot) -> None:
    vectors = np.stack([vector(key) for key in ("c/4.jpg", "a/1.jpg")])
    for folders in (["", "a"], ["a", "c"], ["a"], []):
        view = View(snapshot, folders)
        assert view.nearest_rows(vectors, 3) == [
            [(row_of(record.object_key), score) for record, score in view.search(each, 3)] for each in vectors
        ]


def test_views_of_the_same_state_and_folders_are_equal_in_state(snapshot) -> None:
    assert View(snapshot, ["a", "c"]).state == View(snapshot, ("c", "a", "a")).state
    assert View(snapshot, ["a"]).state != View(snapshot).state


def test_a_sample_is_the_rows_with_the_smallest_ids(snapshot) -> None:
    """It stands for the whole, is the same for every replica, and hardly changes with the library."""
    rows = sorted(map(row_of, KEYS), key=lambda row: row % (1 << 64))
    view = View(snapshot)
    for count in (0, 1, 3, 6, 100):
        assert view.sample(count).tolist() == rows[:count]
    seen = {row_of("a/1.jpg"), row_of("a/b/2.jpg")}
    assert View(snapshot, ["a"]).sample(100).tolist() == [row for row in rows if row in seen]
    assert View(snapshot, []).sample(100).tolist() == []


def test_a_sample_knows_what_came_and_went(tmp_path: Path) -> None:
    catalog = catalog_on(LocalStore(tmp_path))
    catalog.publish(adding(*KEYS), MODEL)
    catalog.publish(removing("a/1.jpg"), MODEL)
    view = View(catalog.publish(adding("a/new.jpg"), MODEL), ["a"])
    assert set(view.sample(100).tolist()) == {row_of("a/b/2.jpg"), row_of("a/new.jpg")}
