"""Increments a counter in an object store N times by compare-and-swap. The race tests run several at once."""

import sys

from app.errors import PreconditionFailed
from app.storage.base import ObjectStore


def open_store(url: str) -> ObjectStore:
    """Import only the store that is needed: boto3 takes half a second."""
    if url.startswith("file:"):
        from app.storage.local import LocalStore

        return LocalStore.from_url(url)
    from app.settings import StorageSettings
    from app.storage.s3 import S3Store

    return S3Store(StorageSettings(url=url))


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
    store = open_store(url)
    for _ in range(int(times)):
        increment(store, key)
