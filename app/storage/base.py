"""The interface to object storage: what a store can do, and what it returns.

Keys are `/`-separated, never empty and have no part `.` or `..`. In S3 parts may be empty (`a//b`, `/a`).
Etags are opaque, without quotes.
"""

import mimetypes
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from app.errors import InvalidInput, ObjectTooLarge

CHUNK_BYTES: Final = 1 << 20
"""Read at once where an object is read in parts."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing says about one object."""

    key: str
    etag: str
    size_bytes: int
    modified_at: float
    """Seconds since the epoch, UTC."""
    packed: bool = False
    """Whether `head` knows that the size is of packed bytes (`Content-Encoding`), which `get` and `stream` unpack."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes and their etag."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Unlisted:
    """What a listing can't give, and why."""

    key: str
    """Of an object, or of a folder: then it ends with a slash, and nothing below it is listed either."""
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a listing the caller needs. The store spares itself the work for the rest."""

    excludes: Callable[[str], bool] = lambda key: False
    """Whether to leave out this object or, if the key ends with a slash, this folder with everything below it."""
    needs_etag: Callable[[str, int], bool] | None = lambda key, size_bytes: True
    """Whether the object of this key and size needs its etag; None: no object does. Others may get an etag that no
    content has."""
    report: Callable[[Unlisted], object] | None = None
    """Is told of each object and folder that can't be listed; the listing goes on. Without it, objects that can't be
    listed are logged, and a folder that can't be read raises `StorageUnavailable`."""


EVERYTHING = Selection()
KEYS_ONLY = Selection(needs_etag=None)
"""Every key, without reading a file for its etag."""


class ObjectStore(Protocol):
    """Synchronous and thread-safe. Every method raises `StorageUnavailable` when the store can't be reached."""

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        """The whole object.

        Raises `ObjectNotFound`, `ObjectArchived`, `InvalidInput` when it can't be unpacked, and `ObjectTooLarge` when
        it has more than `max_bytes`, of which it reads no more.
        """
        ...

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`; empty past the end. Raises `ObjectNotFound`."""
        ...

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """The object in chunks, in bounded memory. Raises as `get`, `ObjectNotFound` before the first chunk."""
        ...

    def head(self, key: str) -> ObjectInfo:
        """The object's listing entry. Raises `ObjectNotFound`."""
        ...

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str = "application/octet-stream",
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> str:
        """Write the object whole or not at all and return its new etag.

        `if_match` replaces only the state with that etag, `if_none_match` only creates. Raises `PreconditionFailed`
        when the condition does not hold. If the reply to a successful write is lost, its writer may get
        `PreconditionFailed` too. A writer that must know the truth puts a unique token in the body and reads it back.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove the object; absent is fine."""
        ...

    def list(
        self, prefix: str = "", *, start_after: str = "", selection: Selection = EVERYTHING
    ) -> Iterator[ObjectInfo]:
        """The selected objects whose key starts with `prefix`, sorted by key, read page by page."""
        ...

    def url(self, key: str, expires_s: int) -> str | None:
        """An address from which a browser can fetch the object, or None if only the service can send it."""
        ...

    def uri(self, key: str) -> str:
        """The object's full name for people: `s3://bucket/key`, `file:///folder/key`."""
        ...


def content_type_of(key: str) -> str:
    """By the key's suffix; never a type that a browser would run."""
    guessed = mimetypes.guess_type(key.rpartition("/")[2].lower(), strict=False)[0] or ""
    return guessed if guessed.startswith("image/") and guessed != "image/svg+xml" else "application/octet-stream"


_ILLEGAL = re.compile(r"\0|\\|/(\.\.?)?/")
"""In a key between slashes: a character that no key has, or a part that is empty, `.` or `..`."""


def check_key(key: str) -> str:
    """Return `key` if it is a legal object key. Raises `InvalidInput`."""
    if _ILLEGAL.search(f"/{key}/") or not _is_text(key):
        raise InvalidInput(f"{key!r} is not an object key: use a relative path like 'nature/sunset.jpg', without '..'.")
    return key


def check_range(key: str, start: int, length: int) -> None:
    """Raises `InvalidInput` when a range of the object is negative."""
    if start < 0 or length < 0:
        raise InvalidInput(f"The range {start}+{length} of {key} is invalid: start and length must be 0 or more.")


def read_bounded(source: BinaryIO, key: str, max_bytes: int | None) -> bytes:
    """All that is left in `source`. Raises `ObjectTooLarge` as soon as it is more than `max_bytes`.

    A short read is no end: an S3 reply is checked for its length when there is nothing left to read.
    """
    if max_bytes is None:
        return source.read()
    chunks: list[bytes] = []
    left = max_bytes
    while chunk := source.read(min(left + 1, CHUNK_BYTES)):
        chunks.append(chunk)
        left -= len(chunk)
        if left < 0:
            raise ObjectTooLarge(f"{key} has more than {max_bytes:,} bytes.")
    return b"".join(chunks)


def _is_text(key: str) -> bool:
    """Whether UTF-8 can encode it; it can't encode a lone surrogate."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
