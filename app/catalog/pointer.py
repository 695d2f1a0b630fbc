"""`_index/current.json`: the one object that says which generation is published.

It is replaced by compare-and-swap only. It names every file that it relies on, with size and sha256. It also carries a
unique token: a writer that is told that it lost reads the pointer back, and the token shows whether it won after all.
"""

import uuid
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from app.catalog.hubs import Examination
from app.catalog.layout import GENERATION, POINTER_KEY
from app.errors import IndexCorrupt, ObjectNotFound, PreconditionFailed, StorageUnavailable
from app.storage.base import ObjectStore
from app.types import ModelIdentity
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
    words: FileEntry | None = None
    """The words of the pictures, as written with the generation; None where an older version wrote it."""
    made_with: tuple[str, ...] = ()
    """Each `ModelIdentity.arithmetic` that made vectors of this index: more than one means a mixture."""
    hubs: Examination | None = None
    """Whether searches of texts gain by fewer hubs; None where that was not examined."""

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
        """Unknown fields are passed over, missing ones get their defaults. A whole number may be written as `5.0`.

        Raises IndexCorrupt.
        """
        try:
            values: dict[str, Any] = orjson.loads(data)
            version = values["format"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise _not_a_pointer("it is no JSON object with a format") from error
        if version != FORMAT:
            raise IndexCorrupt(
                f"{POINTER_KEY} has format {version}, this version reads {FORMAT}. Index again with --rebuild."
            )
        try:
            pointer = _POINTERS.validate_python(values | {"model": values})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise _not_a_pointer(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        if len(pointer.files) != (1 if pointer.collection else 2):
            raise _not_a_pointer("it names too few files, or too many")
        if not GENERATION.fullmatch(pointer.generation):
            raise _not_a_pointer(f"{pointer.generation!r} is no name of a generation")
        return pointer


_POINTERS = TypeAdapter(Pointer)
"""Checks the types of every field, down to the files."""


def _not_a_pointer(reason: str) -> IndexCorrupt:
    return IndexCorrupt(
        f"{POINTER_KEY} is no pointer to a generation ({reason}). Restore it, or index again with --rebuild."
    )


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
