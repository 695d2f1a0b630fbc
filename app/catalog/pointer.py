"""`_index/current.json`: the one object that says which generation is published.

It is replaced by compare-and-swap only. It names every file that it relies on, with size and sha256. It also carries a
unique token: a writer that is told that it lost reads the pointer back, and the token shows whether it won after all.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, TypeVar

import orjson

from app.catalog.layout import GENERATION, POINTER_KEY
from app.errors import IndexCorrupt, ObjectNotFound, PreconditionFailed, StorageUnavailable
from app.storage.base import ObjectStore
from app.types import ModelIdentity, from_fields
from app.vectors.base import EXACT, Accuracy

FORMAT = 2


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file that the generation relies on, with what is needed to verify it."""

    key: str
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, key: str, data: bytes) -> "FileEntry":
        return cls(key, len(data), sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class Kept:
    """An older generation, and the collection of the vector server that it uses; empty for none."""

    generation: str
    collection: str = ""


@dataclass(frozen=True, slots=True)
class Pointer:
    """The published state."""

    generation: str
    token: str
    model: ModelIdentity
    count: int
    journal: int
    """Number of the last journal, 0 for none."""
    created_at: float
    """Seconds since the epoch, UTC, of this publication."""
    files: tuple[FileEntry, ...]
    """The index (unless a server has the vectors) and the metadata, as written with the generation."""
    journals: tuple[FileEntry, ...] = ()
    """In the order to apply them."""
    journal_rows: int = 0
    """Rows added and removed in all journals together."""
    previous: tuple[Kept, ...] = ()
    """Older generations that are kept, newest first."""
    engine: str = "faiss"
    """What searches the vectors: `faiss`, `milvus`, `chroma`."""
    collection: str = ""
    """Where a vector server keeps the vectors; empty where the bucket keeps them."""
    accuracy: Accuracy = EXACT
    made_with: tuple[str, ...] = ()
    """Each `ModelIdentity.arithmetic` that made vectors of this index: more than one means a mixture."""

    @property
    def used(self) -> tuple[Kept, ...]:
        """This generation, and the older ones that are kept."""
        return Kept(self.generation, self.collection), *self.previous

    def to_json(self) -> bytes:
        fields = asdict(self)
        model = fields.pop("model")
        return orjson.dumps({"format": FORMAT, **fields, **model}, option=orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, data: bytes) -> "Pointer":
        """Unknown fields are passed over, missing ones get their defaults. Raises IndexCorrupt."""
        try:
            values: dict[str, Any] = orjson.loads(data)
            version = values["format"]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise _not_a_pointer() from error
        if version != FORMAT:
            raise IndexCorrupt(
                f"{POINTER_KEY} has format {version}, this version reads {FORMAT}. Index again with --rebuild."
            )
        try:
            pointer = cls._from_fields(values)
        except (KeyError, TypeError, AttributeError) as error:
            raise _not_a_pointer() from error
        if len(pointer.files) != (1 if pointer.collection else 2) or not GENERATION.fullmatch(str(pointer.generation)):
            raise _not_a_pointer()
        return pointer

    @classmethod
    def _from_fields(cls, values: dict[str, Any]) -> "Pointer":
        """The pointer from parsed JSON. Raises KeyError, TypeError, AttributeError."""
        accuracy = {name: _frozen(value) for name, value in values.get("accuracy", asdict(EXACT)).items()}
        parts = {
            "model": from_fields(ModelIdentity, values),
            "files": _entries(FileEntry, values["files"]),
            "journals": _entries(FileEntry, values.get("journals", [])),
            "previous": _entries(Kept, values.get("previous", [])),
            "accuracy": from_fields(Accuracy, accuracy),
            "made_with": tuple(values.get("made_with", [])),
        }
        return from_fields(cls, values | parts)


Entry = TypeVar("Entry", FileEntry, Kept)


def _entries(kind: type[Entry], items: Iterable[Mapping[str, Any]]) -> tuple[Entry, ...]:
    return tuple(from_fields(kind, item) for item in items)


def _frozen(value: Any) -> Any:
    """JSON's lists as tuples."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _not_a_pointer() -> IndexCorrupt:
    return IndexCorrupt(f"{POINTER_KEY} is no pointer to a generation. Restore it, or index again with --rebuild.")


def generation_name(number: int) -> str:
    """A name that sorts by number, with a token so that no two writers pick the same."""
    return f"{number:08d}-{new_token()[:8]}"


def new_token() -> str:
    return uuid.uuid4().hex


def read_pointer(store: ObjectStore) -> tuple[Pointer, str] | None:
    """The pointer and its etag; None before the first publication. Raises IndexCorrupt, StorageUnavailable."""
    try:
        stored = store.get(POINTER_KEY)
    except ObjectNotFound:
        return None
    return Pointer.from_json(stored.data), stored.etag


def swap_pointer(store: ObjectStore, pointer: Pointer, expected_etag: str | None) -> str:
    """Publish `pointer` in place of the one with `expected_etag` (None: where there is none) and return its etag.

    Raises PreconditionFailed when another writer was first, StorageUnavailable when the outcome is unknown.
    """
    body = pointer.to_json()
    try:
        if expected_etag is None:
            return store.put(POINTER_KEY, body, content_type="application/json", if_none_match=True)
        return store.put(POINTER_KEY, body, content_type="application/json", if_match=expected_etag)
    except (PreconditionFailed, StorageUnavailable):
        published = read_pointer(store)
        if published is not None and published[0].token == pointer.token:
            return published[1]
        raise
