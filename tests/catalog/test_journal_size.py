"""What adding one picture costs, when journals are as many as may be."""

from dataclasses import replace

import numpy as np

from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.settings import IndexSettings
from app.storage.base import ObjectStore
from tests.support.catalogs import MODEL, record
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
    catalog = Catalog(store, settings)
    state = catalog.publish(one_picture(0), WIDE)
    for number in range(settings.journal_max_files):
        state = catalog.publish(one_picture(number + 1), WIDE, since=state)
    counter = UploadCounter(store)
    state = Catalog(counter, settings).publish(one_picture(99), WIDE, since=state)
    assert len(state.pointer.journals) == settings.journal_max_files + 1
    assert 2048 < counter.uploaded <= MAX_BYTES
