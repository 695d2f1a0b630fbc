"""One object to one outcome: its content, a reason to skip it, or a reason to try it again.

`Reader` fetches, checks and decodes; `make_record` lists the picture that came of it. Runs in reader threads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from app.errors import InvalidInput, ObjectArchived, ObjectNotFound, ObjectTooLarge, StorageUnavailable, Unavailable
from app.pictures.decoding import Picture, ReadPicture
from app.pictures.facts import NO_FACTS, Facts
from app.pictures.formats import UNKNOWN, format_of, is_picture_name, other_kind
from app.pictures.perceptual import perceptual_hash
from app.settings import ImageSettings
from app.storage.base import ObjectInfo, ObjectStore, StoredObject
from app.types import ImageRecord, Skip, hash_content, image_id_of

HEAD_BYTES: Final = 4096
"""Enough of a file to recognise it."""


@dataclass(frozen=True, slots=True)
class Content:
    """What was read under a key."""

    info: ObjectInfo
    etag: str
    """Belongs to the bytes that were read; the listing may be older."""
    size_bytes: int
    content_hash: str
    picture: Picture | None
    """None where the vector and the facts of the content are known already."""
    flaw: str | None = None
    """What is wrong with the file although the picture can be seen."""
    facts: Facts | None = None
    """Stay when the picture is dropped; None where it was not decoded."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The object was deleted after it was listed."""

    key: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The object could not be read or embedded this time; the next run tries it again."""

    key: str
    reason: str


ReadOutcome: TypeAlias = Content | Skip | Gone | Failure


class Reader:
    """Fetches, hashes and decodes. Thread-safe."""

    def __init__(
        self,
        store: ObjectStore,
        limits: ImageSettings,
        known: Mapping[str, ImageRecord],
        read_picture: ReadPicture,
        *,
        keep_location: bool = False,
        on_picture: Callable[[str, StoredObject], object] | None = None,
    ) -> None:
        """Contents whose hash is `known` are not decoded if their record has its details.

        `read_picture` is the model's. `keep_location` as METADATA_GPS. `on_picture` gets the key and the bytes of each
        picture that is read.
        """
        self._store = store
        self._limits = limits
        self._known = known
        self._read_picture = read_picture
        self._keep_location = keep_location
        self._on_picture = on_picture

    def fetch(self, info: ObjectInfo) -> StoredObject | Skip | Gone | Failure:
        """Download one object. Where the name does not say that it is a picture, its first bytes must."""
        try:
            return self._other_kind(info) or self._store.get(info.key, max_bytes=self._limits.max_bytes)
        except ObjectNotFound:
            return Gone(info.key)
        except ObjectArchived as error:
            return Skip(info.key, info.etag, f"{error} Restore it, then run again with --retry-skipped.")
        except StorageUnavailable as error:
            return Failure(info.key, str(error))
        except MemoryError:
            return _too_little_memory(info)
        except InvalidInput as error:  # too large: it has grown since it was listed
            hint = " IMAGE_MAX_BYTES allows no more." if isinstance(error, ObjectTooLarge) else ""
            return Skip(info.key, info.etag, f"{error}{hint}")

    def _other_kind(self, info: ObjectInfo) -> Skip | None:
        """The outcome for an object that is no picture by its first bytes, where its name says nothing."""
        if is_picture_name(info.key):
            return None
        head = self._store.get_range(info.key, 0, HEAD_BYTES)
        found = format_of(head)
        if found and found.is_installed:
            return None
        kind = found.name if found else other_kind(head) or UNKNOWN
        return Skip(info.key, info.etag, f"It is no picture, but a file of kind {kind}.", kind)

    def decode(self, info: ObjectInfo, stored: StoredObject) -> Content | Skip | Failure:
        """Hash the bytes and, where their vector or their details are not known, decode them."""
        content_hash = hash_content(stored.data)
        twin = self._known.get(content_hash)
        try:
            picture = None if twin and has_details(twin) else self._read_picture(stored.data, self._limits)
            facts = facts_of_picture(picture, keep_location=self._keep_location) if picture else None
        except InvalidInput as error:
            return Skip(info.key, stored.etag, str(error))
        except Unavailable as error:
            return Failure(info.key, str(error))
        except MemoryError:
            return _too_little_memory(info)
        if self._on_picture:
            self._on_picture(info.key, stored)
        flaw = picture.flaw if picture else None
        return Content(info, stored.etag, len(stored.data), content_hash, picture, flaw, facts)


def key_of(outcome: ReadOutcome) -> str:
    """The key of the object that was to be read."""
    match outcome:
        case Content(info=info):
            return info.key
        case Skip(object_key=key):
            return key
        case Gone(key=key) | Failure(key=key):
            return key


def facts_of_picture(picture: Picture, *, keep_location: bool) -> Facts:
    """What its file says, and its perceptual hash; the place where it was taken only if METADATA_GPS allows it."""
    location = picture.facts.location if keep_location else None
    return replace(picture.facts, location=location, perceptual_hash=perceptual_hash(picture.image))


def make_record(
    content: Content, width: int, height: int, facts: Facts = NO_FACTS, added_at: float | None = None
) -> ImageRecord:
    """The record of a picture of this width and height (pixels), as far as its file goes."""
    info = content.info
    return ImageRecord(
        image_id=image_id_of(info.key),
        object_key=info.key,
        etag=content.etag,
        content_hash=content.content_hash,
        size_bytes=content.size_bytes,
        modified_at=info.modified_at,
        width=width,
        height=height,
        added_at=added_at,
        taken_at=facts.taken_at,
        camera=facts.camera,
        location=facts.location,
        perceptual_hash=facts.perceptual_hash,
        format=facts.format,
    )


def has_details(record: ImageRecord) -> bool:
    """Whether the facts of the picture were read; earlier versions did not read them."""
    return record.perceptual_hash is not None


def facts_in(record: ImageRecord) -> Facts:
    """What `make_record` took from the file's facts."""
    return Facts(record.taken_at, record.camera, record.location, record.perceptual_hash, record.format)


def _too_little_memory(info: ObjectInfo) -> Failure:
    return Failure(info.key, "There is not enough memory to read it. Lower INDEX_READERS or INDEX_LOOK_AHEAD.")
