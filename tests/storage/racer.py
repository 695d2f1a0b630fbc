"""Increments a counter in an object store by compare-and-swap, N times. Run by the race tests, several at once."""

import sys

from app.errors import PreconditionFailed
from app.settings import StorageSettings
from app.storage.base import ObjectStore
from app.storage.local import LocalStore
from app.storage.s3 import S3Store


def increment(store: ObjectStore, key: str) -> None:
    while True:
        stored = store.get(key)
        try:
            store.put(key, b"%d" % (int(stored.data) + 1), if_match=stored.etag)
        except PreconditionFailed:
            continue
        return


if __name__ == "__main__":
    url, key, times = sys.argv[1:]
    store = LocalStore.from_url(url) if url.startswith("file:") else S3Store(StorageSettings(url=url))
    for _ in range(int(times)):
        increment(store, key)
