"""The pointer: pointers of other versions, and those that can't be right."""

from collections.abc import Callable, Iterator
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.catalog import layout
from app.catalog.catalog import Catalog
from app.catalog.snapshot import Snapshot
from app.errors import IndexCorrupt, IndexMismatch
from app.storage.base import ObjectStore
from app.storage.local import LocalStore
from tests.support.catalogs import MODEL, adding, catalog_on, keys_of, row_of, vector


@pytest.fixture
def catalog(store: ObjectStore) -> Catalog:
    return catalog_on(store)


def rewrite(store: ObjectStore, change: Callable[[dict[str, Any]], object]) -> None:
    fields = orjson.loads(store.get(layout.POINTER_KEY).data)
    change(fields)
    store.put(layout.POINTER_KEY, orjson.dumps(fields))


def test_a_pointer_of_before_arithmetics_were_named_is_read(catalog: Catalog, store: ObjectStore) -> None:
    catalog.publish(adding("a/1.jpg"), MODEL)
    fields = orjson.loads(store.get(layout.POINTER_KEY).data)
    del fields["made_with"], fields["agreement"]
    store.put(layout.POINTER_KEY, orjson.dumps(fields))
    assert catalog.load().pointer.made_with == ()


def test_fields_of_a_later_version_are_passed_over(catalog: Catalog, store: ObjectStore) -> None:
    catalog.publish(adding("a/1.jpg"), MODEL)
    made = catalog.publish(adding("a/2.jpg"), MODEL)

    def add_fields(fields: dict[str, Any]) -> None:
        for item in (fields, fields["accuracy"], *fields["files"], *fields["journals"]):
            item["later"] = {"of": ["a later version"]}

    rewrite(store, add_fields)
    loaded = catalog.load()
    assert keys_of(loaded) == {"a/1.jpg", "a/2.jpg"}
    assert loaded.pointer == made.pointer


def test_fields_that_an_earlier_version_did_not_write_have_their_defaults(catalog: Catalog, store: ObjectStore) -> None:
    made = catalog.publish(adding("a/1.jpg"), MODEL)

    def drop_fields(fields: dict[str, Any]) -> None:
        for name in ("journals", "journal_rows", "previous", "engine", "collection", "accuracy"):
            del fields[name]

    rewrite(store, drop_fields)
    assert catalog.load().pointer == made.pointer


@pytest.mark.parametrize("field", ["token", "fingerprint", "files", "count"])
def test_a_pointer_without_a_field_that_is_needed_is_corrupt(catalog: Catalog, store: ObjectStore, field: str) -> None:
    catalog.publish(adding("a/1.jpg"), MODEL)
    rewrite(store, lambda fields: fields.pop(field))
    with pytest.raises(IndexCorrupt, match="--rebuild"):
        catalog.load()


@pytest.mark.parametrize("field", [b'"files": []', b'"generation": "elsewhere"'])
def test_a_pointer_that_points_nowhere_is_corrupt(catalog: Catalog, store: ObjectStore, field: bytes) -> None:
    made = catalog.publish(adding("a/1.jpg"), MODEL)
    content = orjson.loads(store.get(layout.POINTER_KEY).data) | orjson.loads(b"{%s}" % field)
    store.put(layout.POINTER_KEY, orjson.dumps(content))
    with pytest.raises(IndexCorrupt, match="no pointer"):
        catalog.load()
    assert made.pointer.count == 1


def places_in(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of each value in JSON, as the keys and numbers that lead there."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*place, key)
        yield from places_in(child, (*place, key))


def test_a_value_of_a_wrong_type_is_told_of_wherever_it_is(tmp_path: Path) -> None:
    """A pointer that was edited by hand: it is read, or refused with a reason, and a rebuild replaces it."""
    store = LocalStore(tmp_path)
    catalog = catalog_on(store)
    catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    catalog.publish(adding("b/1.jpg"), MODEL)
    whole = store.get(layout.POINTER_KEY).data
    wrong = [None, 5, 5.5, "../x", [], {"a": 1}, [None], 1e300]
    loaded: list[Snapshot] = []
    reasons: list[str] = []
    for place in places_in(orjson.loads(whole)):
        for value in wrong:
            fields = orjson.loads(whole)
            owner = reduce(getitem, place[:-1], fields)
            owner[place[-1]] = value
            (tmp_path / layout.POINTER_KEY).write_bytes(orjson.dumps(fields))
            try:
                loaded.append(catalog.load())
            except (IndexCorrupt, IndexMismatch) as error:
                reasons.append(str(error))
    assert len(loaded) > 20
    for each in loaded:
        assert each.search(vector("a/1.jpg")[None], 1)[0][0][0] == row_of("a/1.jpg")
        assert all(isinstance(name, str) for name in each.pointer.made_with)
    assert len(reasons) > 200
    assert [reason for reason in reasons if "--rebuild" not in reason] == []
    assert keys_of(catalog.publish(adding("c.jpg"), MODEL, rebuild=True)) >= {"c.jpg"}


def test_a_whole_number_may_be_written_with_a_point(catalog: Catalog, store: ObjectStore) -> None:
    made = catalog.publish(adding("a/1.jpg"), MODEL)

    def as_floats(fields: dict[str, Any]) -> None:
        fields.update({name: float(fields[name]) for name in ("count", "journal", "dimension", "format")})
        for entry in fields["files"]:
            entry["size_bytes"] = float(entry["size_bytes"])

    rewrite(store, as_floats)
    assert b'"count":1.0' in store.get(layout.POINTER_KEY).data
    assert catalog.load().pointer == made.pointer
    assert catalog.publish(adding("a/2.jpg"), MODEL).pointer.journals[0].key.endswith("/journal/1.json")
