"""What one publication changes, in memory and as `journal/<n>.json`.

A journal holds one small change. It includes the vectors unless a vector server has them; a vector is base64 of its
little-endian float32 values.
"""

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import orjson

from app.catalog.metadata import REMEDY, parse_record, parse_skip, record_fields
from app.catalog.records import Records
from app.errors import IndexCorrupt
from app.types import Ids, ImageRecord, Skip, Vectors, row_id
from app.vectors.base import VectorStore


class Listing(NamedTuple):
    """Which pictures there are, without their vectors."""

    records: Records
    """By row id."""
    skipped: Mapping[str, Skip]
    """By object key."""


@dataclass(frozen=True)
class Changes:
    """Rows to insert or replace, rows to drop, and objects that could not be read.

    Applying the same changes a second time has no further effect.
    """

    added: tuple[ImageRecord, ...] = ()
    vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """(len(added), D) unit rows, in the order of `added`."""
    removed: frozenset[str] = frozenset()
    """Image ids."""
    skipped: tuple[Skip, ...] = ()
    forgotten: frozenset[str] = frozenset()
    """Object keys whose skip entry is dropped: the object is gone, or can be read now."""
    copied: bool = False
    """Whether some of the vectors were copied from the current index."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.skipped or self.forgotten)

    @property
    def rows(self) -> int:
        """How many rows are written or dropped."""
        return len(self.added) + len(self.removed)

    @cached_property
    def ids(self) -> Ids:
        """(len(added),) row ids, in the order of `added`."""
        return np.fromiter((row_id(record.image_id) for record in self.added), np.int64, len(self.added))

    def applied_to(self, records: Records, skipped: Mapping[str, Skip]) -> Listing:
        """The listing after these changes."""
        gone = {row_id(image_id) for image_id in self.removed}
        added = dict(zip(self.ids.tolist(), self.added, strict=True))
        readable = self.forgotten | {record.object_key for record in self.added}
        return Listing(
            records.changed(added, gone),
            {key: skip for key, skip in skipped.items() if key not in readable}
            | {skip.object_key: skip for skip in self.skipped},
        )

    def write_to(self, vectors: VectorStore) -> None:
        """Drop and insert the rows in `vectors` itself."""
        gone = {row_id(image_id) for image_id in self.removed} - set(self.ids.tolist())
        if gone:
            vectors.remove(gone)
        if self.added:
            vectors.add(self.ids, self.vectors, [record.folder for record in self.added])


def journal_to_json(changes: Changes, *, with_vectors: bool) -> bytes:
    added = [record_fields(record) for record in changes.added]
    if with_vectors:
        for item, row in zip(added, np.ascontiguousarray(changes.vectors, "<f4"), strict=True):
            item["vector"] = base64.b64encode(row.tobytes()).decode()
    return orjson.dumps(
        {
            "added": added,
            "removed": sorted(changes.removed),
            "skipped": [asdict(skip) for skip in changes.skipped],
            "forgotten": sorted(changes.forgotten),
        }
    )


def journal_from_json(data: bytes, key: str) -> Changes:
    """The changes in the journal `key`. Unknown fields are passed over, missing lists are empty.

    Raises IndexCorrupt.
    """
    try:
        content = orjson.loads(data)
        added = content.get("added", [])
        rows = [np.frombuffer(base64.b64decode(item.pop("vector")), "<f4") for item in added if "vector" in item]
        return Changes(
            added=tuple(map(parse_record, added)),
            vectors=np.array(rows, np.float32),
            removed=frozenset(content.get("removed", [])),
            skipped=tuple(map(parse_skip, content.get("skipped", []))),
            forgotten=frozenset(content.get("forgotten", [])),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise IndexCorrupt(f"{key} is not a journal that this version can read. {REMEDY}") from error
