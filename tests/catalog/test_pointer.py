"""The pointer: pointers of other versions, and those that can't be right."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from app.catalog import layout
from app.catalog.catalog import Catalog
from app.errors import IndexCorrupt
from app.storage.base import ObjectStore
from tests.support.catalogs import MODEL, adding, catalog_on, keys_of


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
