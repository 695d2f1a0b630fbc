"""What a listing says against the catalog: which objects to read, which rows to drop.

Pure: a listing and a snapshot go in, a plan comes out; nothing is read or written here.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from app.catalog.changes import Snapshot
from app.errors import ShrinkRefused
from app.storage.base import ObjectInfo
from app.types import ImageRecord, Skip, image_id_of, row_id


@dataclass(frozen=True)
class Diff:
    """The plan of one run. Every listed object is in `to_read`, `too_large`, `still_broken` or counted `unchanged`."""

    seen: int
    to_read: tuple[ObjectInfo, ...]
    """New and changed objects, sorted by key; in a rebuild, all that are not too large."""
    unchanged: int
    too_large: tuple[Skip, ...]
    """Known from the listing's size and therefore not remembered: a higher limit takes them in at the next run."""
    still_broken: tuple[Skip, ...]
    """Could not be read in an earlier run and have not changed since."""
    gone: tuple[ImageRecord, ...]
    """Indexed pictures that are no longer listed."""
    outgrown: tuple[ImageRecord, ...]
    """Indexed pictures in whose place something too large lies now."""
    forgotten: frozenset[str]
    """Object keys whose remembered skip no longer stands for anything."""


def diff_listing(
    listing: Iterable[ObjectInfo],
    snapshot: Snapshot | None,
    *,
    max_bytes: int,
    rebuild: bool = False,
    retry_skipped: bool = False,
    missing: Collection[int] = (),
) -> Diff:
    """Compare by key and etag.

    `rebuild` reads everything again, `retry_skipped` what could not be read before, `missing` are rows whose vector is
    gone.
    """
    records = snapshot.records if snapshot else {}
    skipped = snapshot.skipped if snapshot else {}
    listed: set[str] = set()
    left = set(records)
    to_read: list[ObjectInfo] = []
    too_large: list[Skip] = []
    still_broken: list[Skip] = []
    outgrown: list[ImageRecord] = []
    unchanged = 0
    for info in listing:
        listed.add(info.key)
        row = row_id(image_id_of(info.key))
        left.discard(row)
        record = records.get(row)
        skip = skipped.get(info.key)
        if record is not None and record.etag == info.etag and not rebuild and row not in missing:
            unchanged += 1
        elif info.size_bytes > max_bytes:
            too_large.append(_too_large(info, max_bytes))
            if record is not None:
                outgrown.append(record)
        elif skip is not None and skip.etag == info.etag and not (rebuild or retry_skipped):
            still_broken.append(skip)
        else:
            to_read.append(info)
    outdated = {key for key in skipped if key not in listed} | {skip.object_key for skip in too_large} & skipped.keys()
    return Diff(
        seen=len(listed),
        to_read=tuple(to_read),
        unchanged=unchanged,
        too_large=tuple(too_large),
        still_broken=tuple(still_broken),
        gone=tuple(records[row] for row in left),
        outgrown=tuple(outgrown),
        forgotten=frozenset(outdated),
    )


def refuse_shrink(
    removed: Iterable[ImageRecord], appeared: Iterable[ObjectInfo], snapshot: Snapshot, *, max_shrink: float, url: str
) -> None:
    """Raise ShrinkRefused when removing `removed` loses more than `max_shrink` of the index without a trace.

    A moved picture is no loss: among what `appeared` under new keys is one with the etag and the size that it had.
    """
    traces = Counter((info.etag, info.size_bytes) for info in appeared)
    lost = (Counter((record.etag, record.size_bytes) for record in removed) - traces).total()
    total = len(snapshot.records)
    if lost > max_shrink * total:
        raise ShrinkRefused(
            f"{lost} of the {total} indexed pictures are gone from {url} or can't be read there any more, more than "
            f"INDEX_MAX_SHRINK={max_shrink:g} lets a run remove without a word; nothing was removed. Check that "
            f"STORAGE_URL names the right place and that the files are whole; if the pictures were meant to go, or "
            f"were moved in a way that changed their etags, run again with --allow-shrink."
        )


def under_new_keys(objects: Iterable[ObjectInfo], snapshot: Snapshot) -> list[ObjectInfo]:
    """Those of `objects` whose key is not indexed."""
    return [info for info in objects if row_id(image_id_of(info.key)) not in snapshot.records]


def may_hold_news(diff: Diff, indexed: Iterable[ImageRecord]) -> bool:
    """Whether anything to read differs from all `indexed` pictures in etag or size: then the model will be needed."""
    known = {(record.etag, record.size_bytes) for record in indexed}
    return any((info.etag, info.size_bytes) not in known for info in diff.to_read)


def _too_large(info: ObjectInfo, max_bytes: int) -> Skip:
    reason = f"The file has {info.size_bytes:,} bytes, more than IMAGE_MAX_BYTES={max_bytes:,} allows."
    return Skip(info.key, info.etag, reason)
