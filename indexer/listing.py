"""The walk through the bucket before a plan: the pictures that it has, and what it has and can't list."""

import logging
from collections import Counter
from dataclasses import dataclass, field

from app.bootstrap import Parts
from app.catalog.exclusion import exclusion
from app.catalog.layout import is_picture_key
from app.catalog.records import Records
from app.pictures.formats import UNKNOWN, is_picture_name, kind_of_name
from app.storage.base import ObjectInfo, Selection, Unlisted
from app.types import image_id_of, row_id
from indexer.progress import Progress
from indexer.signals import Stop

log = logging.getLogger(__name__)


@dataclass
class Listing:
    """What the bucket has, apart from what is never indexed."""

    objects: int = 0
    """Pictures and others."""
    pictures: list[ObjectInfo] = field(default_factory=list)
    """All objects that may be pictures by their names, sorted by key."""
    unlisted: list[Unlisted] = field(default_factory=list)
    """Pictures that can't be named and folders that can't be read."""
    others: Counter[str] = field(default_factory=Counter)
    """How many objects are no pictures by their names, by kind."""


def list_pictures(parts: Parts, records: Records, progress: Progress, stop: Stop) -> Listing:
    """List the bucket until the end, or until `stop`; `records` are those of the index.

    Only files that may be read for the index are read for their etag. Raises StorageUnavailable.
    """
    listing = Listing()
    max_bytes = parts.settings.image.max_bytes

    def needs_etag(key: str, size_bytes: int) -> bool:
        return is_picture_key(key) and (size_bytes <= max_bytes or _may_be_unchanged(key, size_bytes, records))

    def note(unlisted: Unlisted) -> None:
        if unlisted.key.endswith("/") or is_picture_key(unlisted.key):
            listing.unlisted.append(unlisted)
        else:
            log.warning("%s is not listed: %s", unlisted.key, unlisted.reason)

    selection = Selection(exclusion(parts.settings.storage.exclude), needs_etag, note)
    for info in parts.store.list(selection=selection):
        if stop():
            break
        listing.objects += 1
        if kind := _other_kind(info, max_bytes, records):
            listing.others[kind] += 1
        else:
            progress.advance()
            listing.pictures.append(info)
    return listing


def _other_kind(info: ObjectInfo, max_bytes: int, records: Records) -> str:
    """The kind of an object that is no picture by its name; empty for one that may be a picture.

    An object that is too large to be read needs a name that says what it is, or a place in the index.
    """
    is_small = info.size_bytes <= max_bytes or _may_be_unchanged(info.key, info.size_bytes, records)
    if is_picture_key(info.key) and (is_small or is_picture_name(info.key)):
        return ""
    return kind_of_name(info.key) or UNKNOWN


def _may_be_unchanged(key: str, size_bytes: int, records: Records) -> bool:
    """Whether the index has a picture of this size here: a lower limit of size does not remove it."""
    record = records.get(row_id(image_id_of(key)))
    return record is not None and record.size_bytes == size_bytes
