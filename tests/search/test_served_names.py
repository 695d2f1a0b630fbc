"""Names are made before a state is served, and once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from app.catalog.catalog import Catalog
from app.catalog.live import LiveCatalog
from app.catalog.view import View
from app.search.served_names import MAX_SCOPES, ServedNames
from app.storage.local import LocalStore
from tests.support.catalogs import MODEL, adding, catalog_on, removing


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = catalog_on(LocalStore(tmp_path))
    catalog.publish(adding("cats/1.jpg", "dogs/1.jpg"), MODEL)
    return catalog


def view_of(catalog: Catalog, *folders: str) -> View:
    snapshot = catalog.load()
    assert snapshot is not None
    return View(snapshot, folders or [""])


def test_a_new_state_has_its_names_before_it_is_served(catalog: Catalog) -> None:
    names, served = ServedNames(), []

    def prepare(view: View) -> None:
        names.prepare(view)
        served.append(live.problem is None and View(live.current).state)

    live = LiveCatalog(catalog, MODEL, prepare)
    live.refresh()
    first = View(live.current)
    assert served == [False]
    assert names.ready(first) is not None
    catalog.publish(adding("birds/1.jpg"), MODEL)
    live.refresh()
    assert served == [False, first.state]
    ready = names.ready(View(live.current))
    assert ready is not None
    assert set(ready.paths) == {"cats", "dogs", "birds"}


def test_names_follow_every_state(catalog: Catalog) -> None:
    names = ServedNames()
    for changes, folders in (
        (adding("birds/owls/1.jpg"), {"cats", "dogs", "birds", "birds/owls"}),
        (removing("dogs/1.jpg"), {"cats", "birds", "birds/owls"}),
        (removing("birds/owls/1.jpg"), {"cats"}),
    ):
        catalog.publish(changes, MODEL)
        assert set(names.of(view_of(catalog)).paths) == folders


def test_a_state_that_is_served_no_more_still_has_its_own(catalog: Catalog) -> None:
    names, old = ServedNames(), view_of(catalog)
    catalog.publish(adding("birds/1.jpg"), MODEL)
    names.prepare(view_of(catalog))
    assert names.ready(old) is None
    assert set(names.of(old).paths) == {"cats", "dogs"}


def test_each_scope_has_names_of_its_own(catalog: Catalog) -> None:
    names = ServedNames()
    names.prepare(view_of(catalog))
    assert set(names.of(view_of(catalog, "cats")).paths) == {"cats"}
    assert set(names.of(view_of(catalog)).paths) == {"cats", "dogs"}


def test_the_scopes_that_are_kept_are_limited(catalog: Catalog) -> None:
    names = ServedNames()
    views = [view_of(catalog, "cats", str(number)) for number in range(MAX_SCOPES + 1)]
    for view in views:
        names.prepare(view)
    assert [names.ready(view) is None for view in (views[0], views[1], views[-1])] == [True, False, False]


def test_threads_that_need_the_same_names_share_them(catalog: Catalog) -> None:
    names, view, together = ServedNames(), view_of(catalog), Barrier(4)

    def look() -> object:
        together.wait()
        return names.of(view)

    with ThreadPoolExecutor(4) as pool:
        assert len({id(future.result()) for future in [pool.submit(look) for _ in range(4)]}) == 1
