"""One object to one outcome: a picture, a reason to skip it, or a reason to try again. Runs in reader threads."""

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import TypeAlias

from app.errors import InvalidInput, ObjectNotFound, StorageUnavailable
from app.pictures.decoding import Picture
from app.settings import ImageSettings
from app.storage.base import ObjectInfo, ObjectStore, StoredObject
from app.types import Skip, hash_content


@dataclass(frozen=True, slots=True)
class Content:
    """What was read under a key."""

    info: ObjectInfo
    etag: str
    """Of the bytes that were read; the listing may be older."""
    size_bytes: int
    content_hash: str
    picture: Picture | None
    """None where the content's vector is known already."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The object vanished between the listing and the reading."""

    key: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The object could not be read, or not embedded, this time; the next run tries again."""

    key: str
    reason: str


Outcome: TypeAlias = Content | Skip | Gone | Failure


class Reader:
    """Fetches, hashes and decodes. Thread-safe."""

    def __init__(
        self,
        store: ObjectStore,
        limits: ImageSettings,
        known: Container[str],
        read: Callable[[bytes, ImageSettings], Picture],
    ) -> None:
        """Contents whose hash is `known` are not decoded; `read` is the model's."""
        self._store = store
        self._limits = limits
        self._known = known
        self._read = read

    def fetch(self, info: ObjectInfo) -> StoredObject | Skip | Gone | Failure:
        try:
            return self._store.get(info.key)
        except ObjectNotFound:
            return Gone(info.key)
        except StorageUnavailable as error:
            return Failure(info.key, str(error))
        except MemoryError:
            return _too_big_now(info)
        except InvalidInput as error:
            return Skip(info.key, info.etag, str(error))

    def decode(self, info: ObjectInfo, stored: StoredObject) -> Content | Skip | Failure:
        content_hash = hash_content(stored.data)
        try:
            picture = None if content_hash in self._known else self._read(stored.data, self._limits)
        except InvalidInput as error:
            return Skip(info.key, stored.etag, str(error))
        except MemoryError:
            return _too_big_now(info)
        return Content(info, stored.etag, len(stored.data), content_hash, picture)


def _too_big_now(info: ObjectInfo) -> Failure:
    return Failure(info.key, "There is not enough memory to read it. Lower INDEX_READERS or INDEX_LOOK_AHEAD.")
