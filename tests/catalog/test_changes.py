"""Journals: what one more picture costs to upload, and journals of other versions."""

from dataclasses import replace

import numpy as np
import orjson
import pytest

from app.catalog.changes import Changes, journal_from_json, journal_to_json
from app.errors import IndexCorrupt
from app.settings import IndexSettings
from app.storage.base import ObjectStore
from app.types import Skip
from tests.support.catalogs import MODEL, adding, catalog_on, record
from tests.support.stores import WrappedStore

WIDE = replace(MODEL, dimension=512)
MAX_BYTES = 16 << 10


class UploadCounter(WrappedStore):
    uploaded = 0

    def put(self, key, body, **options):
        self.uploaded += len(body)
        return self.inner.put(key, body, **options)


def one_picture(number: int) -> Changes:
    row = np.random.default_rng(number).standard_normal((1, 512)).astype(np.float32)
    return Changes(
        added=(record(f"holidays/2024/somewhere/a rather long name {number}.jpg"),), vectors=row / np.linalg.norm(row)
    )


def test_one_more_picture_uploads_little(store: ObjectStore) -> None:
    settings = IndexSettings()
    catalog = catalog_on(store, settings)
    state = catalog.publish(one_picture(0), WIDE)
    for number in range(settings.journal_max_files):
        state = catalog.publish(one_picture(number + 1), WIDE, since=state)
    counter = UploadCounter(store)
    state = catalog_on(counter, settings).publish(one_picture(99), WIDE, since=state)
    assert len(state.pointer.journals) == settings.journal_max_files + 1
    assert 2048 < counter.uploaded <= MAX_BYTES


KEY = "_index/00000001-deadbeef/journal/1.json"

CHANGES = replace(
    adding("a/1.jpg"), removed=frozenset({"0" * 16}), skipped=(Skip("x.jpg", "1", "torn"),), forgotten=frozenset({"y"})
)


def assert_same(read: Changes, expected: Changes = CHANGES) -> None:
    np.testing.assert_array_equal(read.vectors, expected.vectors)
    assert replace(read, vectors=expected.vectors) == expected


def test_fields_of_a_later_version_are_passed_over() -> None:
    content = orjson.loads(journal_to_json(CHANGES, with_vectors=True))
    content["captioned"] = ["of a later version"]
    for item in (*content["added"], *content["skipped"]):
        item["aperture_of_a_later_version"] = 2.8
    assert_same(journal_from_json(orjson.dumps(content), KEY))


def test_fields_that_an_earlier_version_did_not_write_have_their_defaults() -> None:
    content = orjson.loads(journal_to_json(CHANGES, with_vectors=True))
    del content["forgotten"]
    assert_same(journal_from_json(orjson.dumps(content), KEY), replace(CHANGES, forgotten=frozenset()))


@pytest.mark.parametrize("field", ["etag", "object_key"])
def test_a_journal_without_a_field_that_is_needed_is_corrupt(field: str) -> None:
    for part in ("added", "skipped"):
        content = orjson.loads(journal_to_json(CHANGES, with_vectors=True))
        del content[part][0][field]
        with pytest.raises(IndexCorrupt, match="--rebuild"):
            journal_from_json(orjson.dumps(content), KEY)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"added": [1]}', b'{"added": [{"vector": 1}]}'])
def test_a_journal_that_is_none_is_corrupt_and_named(data: bytes) -> None:
    with pytest.raises(IndexCorrupt, match=r"journal/1\.json.*--rebuild"):
        journal_from_json(data, KEY)
