"""The nouns that every layer shares: identifiers, array aliases, records and hits.

`image_id` is blake2b-64 of the object key in hex. The same eight bytes, read as a signed integer, are the row id in
every vector store. So the id of a picture stays the same when the index is rebuilt.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Vectors: TypeAlias = NDArray[np.float32]
"""(N, D) float32, unit rows."""

Ids: TypeAlias = NDArray[np.int64]
"""(N,) int64 row ids, see `row_id`."""


def image_id_of(object_key: str) -> str:
    """16 hex digits: blake2b-64 of the UTF-8 object key."""
    return blake2b(object_key.encode(), digest_size=8).hexdigest()


def row_id(image_id: str) -> int:
    """The image id as the signed 64-bit integer under which a vector store keeps it."""
    return int.from_bytes(bytes.fromhex(image_id), "big", signed=True)


def folder_of(object_key: str) -> str:
    """The key's directory, `nature/beach` for `nature/beach/a.jpg`; empty at the root."""
    return object_key.rpartition("/")[0]


def in_folder(folder: str, wanted: str) -> bool:
    """Whether `folder` is `wanted` or lies below it; everything lies below the empty folder."""
    return not wanted or folder == wanted or folder.startswith(wanted + "/")


def ancestors_of(folder: str) -> list[str]:
    """The folders that `folder` lies in, from the outermost to its parent: `["a", "a/b"]` for `a/b/c`."""
    parts = folder.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def hash_content(data: bytes) -> str:
    """32 hex digits of blake2b-128: tells a moved picture from a new one."""
    return blake2b(data, digest_size=16).hexdigest()


def hash_file(file: BinaryIO) -> str:
    """`hash_content` of what is left to read of a file, in bounded memory."""
    digest = blake2b(digest_size=16)
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def distance_of(score: float) -> float:
    """Euclidean distance between two unit vectors of cosine `score`: sqrt(2 - 2 * score), 0 to 2, six decimals."""
    return round(math.sqrt(max(0.0, 2.0 - 2.0 * score)), 6)


Record = TypeVar("Record", bound="DataclassInstance")


def from_fields(kind: type[Record], values: Mapping[str, Any]) -> Record:
    """A dataclass from its fields in a file. Unknown fields are passed over, missing ones get their defaults.

    So a newer version can add a field with a default, and both versions read each other's files.
    Raises TypeError when a field without a default is missing.
    """
    known = kind.__dataclass_fields__
    return kind(**{name: value for name, value in values.items() if name in known})


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model made a vector. Only `fingerprint` decides whether two vectors may be compared."""

    name: str
    fingerprint: str
    """Hash of weights, tokenizer, configuration and preprocessing (docs/adr/0004)."""
    dimension: int
    precision: str
    """Arithmetic of the forward pass: `fp32`, `bf16`, ..."""
    runtime: str
    """What ran it: `openvino-cpu`, `torch-cpu`, `torch-cuda`."""
    agreement: float | None = None
    """Mean cosine of its vectors with those that the same model makes in fp32; None for what was not measured."""

    @property
    def arithmetic(self) -> str:
        """Precision and runtime as people read them: `bf16 openvino-cpu`."""
        return f"{self.precision} {self.runtime}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a picture was fetched from, and who is to be named for it."""

    url: str
    """Of the picture's file."""
    page_url: str | None = None
    """A page that shows the picture."""
    title: str | None = None
    creator: str | None = None
    license: str | None = None
    """As the provider names it: `CC BY 2.0`."""
    license_url: str | None = None
    attribution: str | None = None
    """The sentence that names creator and licence."""


MAX_TAG_CHARS: Final = 100
"""Of one tag."""

PERSON: Final = "person"
"""`ImageRecord.caption_by` of a caption that a person wrote. No model replaces it."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One indexed picture, as the metadata file lists it. A field with its default value is left out there."""

    image_id: str
    object_key: str
    etag: str
    content_hash: str
    size_bytes: int
    modified_at: float
    """Seconds since the epoch, UTC."""
    width: int
    """Pixels, after the EXIF orientation is applied."""
    height: int
    caption: str | None = None
    caption_by: str | None = None
    """`PERSON`, or the name of the model that wrote the caption."""
    tags: tuple[str, ...] = ()
    added_at: float | None = None
    """When it came into the index, seconds since the epoch, UTC; None for records of versions that did not say."""
    taken_at: float | None = None
    """By the camera's clock, seconds since the epoch; read as UTC where EXIF names no time zone."""
    camera: str | None = None
    """The camera's words: maker and model, lens, exposure."""
    location: tuple[float, float] | None = None
    """Latitude and longitude, degrees; only with `METADATA_GPS`."""
    perceptual_hash: str | None = None
    """Hex digits; near for pictures that look the same (`app.pictures.perceptual`)."""
    format: str | None = None
    """By content, as `app.pictures.formats.Format.name`; None for records of versions that did not say."""
    source: Source | None = None
    bank_mean: float | None = None
    """How near its vector is to the texts of the bank, on average (`app.models.bank`). None, like `bank_near`, for
    records of versions that did not measure it, and where the bank had not been embedded."""
    bank_near: float | None = None
    """The same of the texts that are nearest to it."""

    @property
    def folder(self) -> str:
        return folder_of(self.object_key)

    @property
    def date(self) -> float:
        """When it was taken, or else last modified, seconds since the epoch."""
        return self.modified_at if self.taken_at is None else self.taken_at


@dataclass(frozen=True, slots=True)
class Skip:
    """An object that looked like a picture and could not be read; tried again when its etag changes."""

    object_key: str
    etag: str
    reason: str
    kind: str = ""
    """What the object is by its content where it is no picture and its name did not tell: `video`, `unknown`, ..."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A picture in an answer, and where its file is."""

    record: ImageRecord
    score: float
    """Cosine, higher is better."""
    uri: str
    """The store's name for the file, `s3://bucket/key`."""
    url: str | None
    """Where a browser gets the file from the store; None where only the service can hand it out."""
    relevance: float | None = None
    """0 to 1, from 0.5 on the picture may well fit the query; None where it is not known."""
    words: float | None = None
    """How well name, folder, caption and tags fit the query, 0 to 1; None where they were not searched."""
    parts: tuple[float, ...] | None = None
    """What each term of the query adds to the score; None where the query does not ask for it."""
    combined: float | None = None
    """How well the picture fits all terms; None where the order is by another score."""
    stands_for: int | None = None
    """Pictures of the same photo that it stands for, itself included; None where they are not folded."""

    @property
    def distance(self) -> float:
        return distance_of(self.score)
