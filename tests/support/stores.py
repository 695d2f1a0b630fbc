"""Object stores that misbehave, each around a real one."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from app.settings import StorageSettings
from app.storage.base import ObjectInfo, ObjectStore, StoredObject
from app.storage.local import LocalStore
from app.storage.s3 import S3Store


class WrappedStore:
    """Passes everything on; subclasses change one thing."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner

    def get(self, key: str, **options: Any) -> StoredObject:
        return self.inner.get(key, **options)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        return self.inner.get_range(key, start, length)

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        return self.inner.stream(key, chunk_bytes=chunk_bytes)

    def head(self, key: str) -> ObjectInfo:
        return self.inner.head(key)

    def put(self, key: str, body: bytes | BinaryIO, **options: Any) -> str:
        return self.inner.put(key, body, **options)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def list(self, prefix: str = "", **options: Any) -> Iterator[ObjectInfo]:
        return self.inner.list(prefix, **options)

    def url(self, key: str, expires_s: int) -> str | None:
        return self.inner.url(key, expires_s)

    def uri(self, key: str) -> str:
        return self.inner.uri(key)


class KillingStore(WrappedStore):
    """Kills its own process with SIGKILL just before or just after the nth write, deletions counted too."""

    def __init__(self, inner: ObjectStore, write: int, *, after: bool) -> None:
        super().__init__(inner)
        self._left = write
        self._after = after

    def put(self, key: str, body: bytes | BinaryIO, **options: Any) -> str:
        return self._around(lambda: self.inner.put(key, body, **options))

    def delete(self, key: str) -> None:
        self._around(lambda: self.inner.delete(key))

    def _around(self, write: Callable[[], Any]) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = write()
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


class LostReplyStore(WrappedStore):
    """Writes `key` for real, then raises `error` once, as when the reply to a write that went through is lost."""

    def __init__(self, inner: ObjectStore, key: str, error: Exception) -> None:
        super().__init__(inner)
        self._key, self._error = key, error
        self.lost = 0

    def put(self, key: str, body: bytes | BinaryIO, **options: Any) -> str:
        etag = self.inner.put(key, body, **options)
        if key == self._key and not self.lost:
            self.lost += 1
            raise self._error
        return etag


class InterferingStore(WrappedStore):
    """Runs `interfere` once, just before the first write of `key`: another writer who gets there first."""

    def __init__(self, inner: ObjectStore, key: str, interfere: Callable[[], object]) -> None:
        super().__init__(inner)
        self._key, self._interfere = key, interfere
        self.interfered = False

    def put(self, key: str, body: bytes | BinaryIO, **options: Any) -> str:
        if key == self._key and not self.interfered:
            self.interfered = True
            self._interfere()
        return self.inner.put(key, body, **options)


def store_at(url: str) -> ObjectStore:
    """The real store behind a `STORAGE_URL`, without the model that `bootstrap` would bring along."""
    return S3Store(StorageSettings(url=url)) if url.startswith("s3://") else LocalStore.from_url(url)
