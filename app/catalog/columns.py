"""The fields of all pictures as NumPy columns, for lists, filters and duplicates: no record is parsed to look at one.

`RecordFile` makes the columns of a metadata file once, when they are first asked for. `Records` adds the changes of
the journals to them, and `View` leaves out what its caller may not see.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.pictures.formats import FORMATS, format_of_name
from app.pictures.perceptual import Hashes, read_hashes
from app.types import Ids, folder_of

UNKNOWN_FORMAT: Final = -1

_SORTED_TOGETHER: Final = 8192
"""Keys, about; sorting them takes a few milliseconds."""

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Columns:
    """(N,) each: one place a picture, in no particular order. Read-only.

    A place is only meaningful together with the columns that it is of; `rows` names the pictures for everything else.
    """

    rows: Ids
    """Row ids."""
    order: Ids
    """The places, sorted by object key (code points)."""
    folders: Sequence[str]
    """Distinct folder paths; some may have no picture."""
    folder_codes: NDArray[np.int32]
    """Index into `folders`."""
    sizes_bytes: NDArray[np.int64]
    key_lengths: NDArray[np.int32]
    """Of the object keys, characters."""
    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    modified_at: Floats
    """Seconds since the epoch, UTC."""
    taken_at: Floats
    """As `ImageRecord.taken_at`; NaN for None."""
    added_at: Floats
    """As `ImageRecord.added_at`; NaN for None."""
    formats: NDArray[np.int8]
    """Index into `FORMATS`, by the record or else by the key's suffix; `UNKNOWN_FORMAT` where neither says it."""
    contents: NDArray[np.uint64]
    """`content_code` of the content hash: equal contents have equal codes, different contents nearly always not."""
    hashes: Hashes
    """(N, PARTS, PART_BYTES) perceptual hashes; zeros where there is none."""
    tags: Sequence[str]
    """Distinct tags; some may be on no picture."""
    tagged: Ids
    """(M,) places, one for each tag of each picture."""
    tag_codes: NDArray[np.int32]
    """(M,) index into `tags`."""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def ranks(self) -> Ids:
        """The place of each picture in `order`."""
        ranks = np.empty_like(self.order)
        ranks[self.order] = np.arange(len(ranks))
        return ranks

    @cached_property
    def pixels(self) -> NDArray[np.int64]:
        """Width x height."""
        return self.widths.astype(np.int64) * self.heights

    @cached_property
    def dates(self) -> Floats:
        """As `ImageRecord.date`."""
        return np.where(np.isnan(self.taken_at), self.modified_at, self.taken_at)

    @cached_property
    def added_or_long_ago(self) -> Floats:
        """`added_at`; minus infinity where it is not known."""
        return np.where(np.isnan(self.added_at), -np.inf, self.added_at)

    @cached_property
    def by_date(self) -> Ids:
        """The places, sorted by `dates`, then by object key."""
        return self.order[np.argsort(self.dates[self.order], kind="stable")]

    @cached_property
    def by_added(self) -> Ids:
        """The places, sorted by `added_or_long_ago`, then by object key."""
        return self.order[np.argsort(self.added_or_long_ago[self.order], kind="stable")]

    @cached_property
    def by_content(self) -> Ids:
        """The places, sorted by `contents`."""
        return np.argsort(self.contents, kind="stable")

    def places_with_content(self, content_hash: str) -> Ids:
        """The places of pictures that may have this content. O(log N) after the first call."""
        code = content_code(content_hash)
        first = np.searchsorted(self.contents, code, "left", sorter=self.by_content)
        last = np.searchsorted(self.contents, code, "right", sorter=self.by_content)
        return self.by_content[first:last]

    def where(self, keep: Mask) -> "Columns":
        """The columns of some of the pictures."""
        if keep.all():
            return self
        places = np.cumsum(keep) - 1
        return replace(
            self,
            **{name: getattr(self, name)[keep] for name in _BY_PLACE},
            order=places[self.order[keep[self.order]]],
            tagged=places[self.tagged[keep[self.tagged]]],
            tag_codes=self.tag_codes[keep[self.tagged]],
        )

    def joined(self, other: "Columns", before: Ids) -> "Columns":
        """These pictures, then those of `other`; `before` is where each of `other.order` comes in this `order`."""
        folders, folder_codes = _joined_words(self.folders, other.folders, other.folder_codes)
        tags, tag_codes = _joined_words(self.tags, other.tags, other.tag_codes)
        both = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in _BY_PLACE}
        both["folder_codes"][len(self) :] = folder_codes
        return Columns(
            **both,
            order=np.insert(self.order, before, other.order + len(self)),
            folders=folders,
            tags=tags,
            tagged=np.concatenate([self.tagged, other.tagged + len(self)]),
            tag_codes=np.concatenate([self.tag_codes, tag_codes]),
        )


_BY_PLACE: Final = [
    each.name for each in fields(Columns) if each.name not in ("order", "folders", "tags", "tagged", "tag_codes")
]
"""The columns with one value a picture, in its place."""


def content_code(content_hash: str) -> np.uint64:
    """The first 16 hex digits as a number."""
    return np.uint64(_leading_digits(content_hash))


def columns_of(
    items: Iterable[Sequence[Mapping[str, Any]]], places: tuple[Sequence[str], NDArray[np.int32]] | None = None
) -> Columns:
    """The columns of records, given by their fields in a file in blocks of any size.

    `places` are the distinct folders and the code of each record's folder, where they are known. Raises KeyError for a
    missing field, and ValueError or TypeError for one of another kind.
    """
    parts: list[dict[str, NDArray[Any]]] = []
    keys: list[str] = []
    tags: dict[str, int] = {}
    for block in items:
        parts.append(_block(block, len(keys), tags))
        keys += [item["object_key"] for item in block]
    parts = parts or [_block([], 0, tags)]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    folders, codes = places or _coded([folder_of(key) for key in keys])
    return Columns(**whole, order=_sorted_places(keys), folders=folders, folder_codes=codes, tags=list(tags))


def _block(items: Sequence[Mapping[str, Any]], first: int, tags: dict[str, int]) -> dict[str, NDArray[Any]]:
    """The columns of records from place `first` on; `tags` gets the code of each new tag."""
    pairs = [
        (place, tags.setdefault(tag, len(tags)))
        for place, item in enumerate(items, first)
        for tag in item.get("tags") or ()
    ]
    return {
        "rows": _leading_numbers([item["image_id"] for item in items]).view(np.int64),
        "sizes_bytes": np.array([item["size_bytes"] for item in items], np.int64),
        "key_lengths": np.array([len(item["object_key"]) for item in items], np.int32),
        "widths": np.array([item["width"] for item in items], np.int32),
        "heights": np.array([item["height"] for item in items], np.int32),
        "modified_at": np.array([item["modified_at"] for item in items], np.float64),
        "taken_at": np.array([item.get("taken_at") for item in items], np.float64),
        "added_at": np.array([item.get("added_at") for item in items], np.float64),
        "formats": np.array([_format_code(item) for item in items], np.int8),
        "contents": _leading_numbers([item["content_hash"] for item in items]),
        "hashes": read_hashes([item.get("perceptual_hash") or "" for item in items]),
        "tagged": np.array([place for place, _ in pairs], np.int64),
        "tag_codes": np.array([code for _, code in pairs], np.int32),
    }


def _sorted_places(keys: Sequence[str]) -> Ids:
    """The places of the keys in the order of the keys.

    Sorted in parts, because other threads of the service have to wait while Python sorts a list.
    """
    marks = sorted(keys[::_SORTED_TOGETHER])
    parts: list[list[int]] = [[] for _ in range(len(marks) + 1)]
    for place, key in enumerate(keys):
        parts[bisect_right(marks, key)].append(place)
    return np.concatenate([np.array(sorted(part, key=keys.__getitem__), np.int64) for part in parts])


def _leading_numbers(hashes: Sequence[str]) -> NDArray[np.uint64]:
    """The first 16 hex digits of each as a number."""
    try:
        digits = bytes.fromhex("".join([text[:16] for text in hashes]))
        return np.frombuffer(digits, ">u8", len(hashes)).astype(np.uint64)
    except ValueError:  # some are shorter, or no hex digits
        return np.array([_leading_digits(text) for text in hashes], np.uint64)


def _leading_digits(text: str) -> int:
    """The first 16 hex digits as a number; of another text, a number that depends on all of it."""
    try:
        return int(text[:16], 16)
    except ValueError:
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


_CODES: Final = {each.name: code for code, each in enumerate(FORMATS)}


def _format_code(item: Mapping[str, Any]) -> int:
    if name := item.get("format"):
        return _CODES.get(name, UNKNOWN_FORMAT)
    _, dot, end = item["object_key"].rpartition("/")[2].rpartition(".")
    return _code_of_suffix(dot + end)


@lru_cache(maxsize=1024)
def _code_of_suffix(suffix: str) -> int:
    found = format_of_name(suffix)
    return _CODES[found.name] if found else UNKNOWN_FORMAT


def _coded(words: Sequence[str]) -> tuple[list[str], NDArray[np.int32]]:
    """The distinct words, and the code of each one."""
    known: dict[str, int] = {}
    codes = [known.setdefault(word, len(known)) for word in words]
    return list(known), np.array(codes, np.int32)


def _joined_words(
    words: Sequence[str], others: Sequence[str], codes: NDArray[np.int32]
) -> tuple[Sequence[str], NDArray[np.int32]]:
    """All words, and `codes`, which are of `others`, as codes of all words."""
    known = {word: code for code, word in enumerate(words)}
    new = np.array([known.setdefault(word, len(known)) for word in others], np.int32)
    return list(known), new[codes]
