"""The plan of a run: the published state against a listing of the bucket, and what may be removed without a word.

`load_baseline` and `make_plan` read the catalog and the listing; the functions below them are pure.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.bootstrap import Parts
from app.catalog.catalog import check_model
from app.catalog.records import Records
from app.catalog.snapshot import Drift, Snapshot, drift_of
from app.errors import IndexCorrupt, IndexMismatch, ShrinkRefused
from app.ingest.reading import has_details
from app.storage.base import ObjectInfo, Unlisted
from app.types import ImageRecord, Skip, folder_of, image_id_of, in_folder, row_id
from indexer.listing import list_pictures
from indexer.progress import Progress
from indexer.signals import Stop

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What a person may ask of one run."""

    rebuild: bool = False
    """Embed everything again and replace the whole index."""
    allow_shrink: bool = False
    """Remove pictures that are gone, however many they are."""
    retry_skipped: bool = False
    """Read again pictures that could not be read before, changed or not."""
    details: bool = False
    """Read again pictures that an earlier version indexed without their details."""
    captions: bool = False
    """Describe indexed pictures that have no caption."""


@dataclass(frozen=True)
class Run:
    """What every step of a run works with."""

    parts: Parts
    options: Options
    progress: Progress
    stop: Stop


@dataclass(frozen=True)
class Baseline:
    """The published state that a run starts from."""

    snapshot: Snapshot | None = None
    """None where nothing is published, or the published index can't be read."""
    drift: Drift = Drift()  # noqa: RUF009 - frozen
    must_be_replaced: bool = False
    """Whether only a complete rebuild can replace the index: another model made it, or it is damaged."""

    @property
    def records(self) -> Records:
        """By row id."""
        return self.snapshot.records if self.snapshot else Records()

    def records_of(self, keys: Iterable[str]) -> list[ImageRecord]:
        """The records of those object keys that are indexed."""
        found = (self.records.get(row_id(image_id_of(key))) for key in keys)
        return [record for record in found if record is not None]


@dataclass(frozen=True)
class Plan:
    """What to read and what to drop.

    Every seen picture is in `to_read`, `too_large`, `still_broken` or `unlisted`, or counted in `unchanged`.
    """

    seen: int = 0
    """Pictures that were found; a folder that can't be read counts as one."""
    to_read: tuple[ObjectInfo, ...] = ()
    """New and changed objects, sorted by key; in a rebuild, all that are not too large."""
    unchanged: int = 0
    too_large: tuple[Skip, ...] = ()
    """Too large by the listing's size. The catalog does not remember them, so a higher limit lets them in."""
    still_broken: tuple[Skip, ...] = ()
    """Could not be read in an earlier run and have not changed since."""
    gone: tuple[ImageRecord, ...] = ()
    """Indexed pictures that are no longer listed."""
    outgrown: tuple[ImageRecord, ...] = ()
    """Indexed pictures whose objects are too large now."""
    forgotten: frozenset[str] = frozenset()
    """Object keys whose remembered skip is out of date."""
    unlisted: tuple[Unlisted, ...] = ()
    """Pictures and folders that the storage has and can't list."""
    kept: tuple[ImageRecord, ...] = ()
    """Indexed pictures in folders that can't be read now: their rows stay."""
    others: Mapping[str, int] = field(default_factory=dict)
    """How many listed objects are no pictures by their names, by kind."""
    is_empty: bool = False
    """Whether there is no object at all, apart from those that are never indexed."""
    interrupted: bool = False
    """Whether a stop was requested before the listing was complete; the plan is empty then."""


def load_baseline(run: Run) -> Baseline:
    """The published state, checked against the model.

    Raises IndexCorrupt or IndexMismatch where only a rebuild helps and none is asked for, StorageUnavailable,
    VectorStoreUnavailable, ModelUnavailable.
    """
    try:
        snapshot = run.parts.catalog.load()
    except (IndexCorrupt, IndexMismatch) as error:
        if not run.options.rebuild:
            raise
        log.warning("The current index can't be used and will be replaced: %s", error)
        return Baseline(must_be_replaced=True)
    if snapshot is None:
        return Baseline()
    try:
        check_model(snapshot.pointer, run.parts.model)
    except IndexMismatch:
        if not run.options.rebuild:
            raise
        return Baseline(snapshot, must_be_replaced=True)
    drift = drift_of(snapshot)
    if drift.missing:
        log.warning("%d pictures have no vector any more and are read again.", len(drift.missing))
    return Baseline(snapshot, drift)


def make_plan(run: Run, baseline: Baseline) -> Plan:
    """List the bucket and compare. Raises ShrinkRefused, StorageUnavailable."""
    run.progress.phase("listing")
    listing = list_pictures(run.parts, baseline.records, run.progress, run.stop)
    if run.stop():
        return Plan(interrupted=True)
    plan = diff_listing(
        listing.pictures,
        baseline.snapshot,
        max_bytes=run.parts.settings.image.max_bytes,
        rebuild=run.options.rebuild,
        retry_skipped=run.options.retry_skipped,
        details=run.options.details,
        missing=baseline.drift.missing,
        unlisted=listing.unlisted,
    )
    plan = replace(plan, is_empty=not listing.objects, others=listing.others)
    check_losses(run, baseline, [*plan.gone, *plan.outgrown], plan.to_read)
    return plan


def check_losses(run: Run, baseline: Baseline, removed: Iterable[ImageRecord], present: Iterable[ObjectInfo]) -> None:
    """`refuse_shrink` as the settings and options say; `present` are the objects that are there and readable."""
    if baseline.snapshot is not None and not run.options.allow_shrink:
        refuse_shrink(
            removed,
            under_new_keys(present, baseline.snapshot),
            baseline.snapshot,
            max_shrink=run.parts.settings.index.max_shrink,
            url=run.parts.settings.storage.url,
        )


def diff_listing(
    listing: Iterable[ObjectInfo],
    snapshot: Snapshot | None,
    *,
    max_bytes: int,
    rebuild: bool = False,
    retry_skipped: bool = False,
    details: bool = False,
    missing: Collection[int] = (),
    unlisted: Sequence[Unlisted] = (),
) -> Plan:
    """Compare by key and etag.

    `rebuild` reads everything again, `retry_skipped` what could not be read before, `details` what is indexed without
    its details. `missing` are rows that have lost their vector; their pictures are read again. What lies in an
    `unlisted` folder stays as it is.
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
        is_current = record is not None and record.etag == info.etag and row not in missing
        if record is not None and is_current and not rebuild and (has_details(record) or not details):
            unchanged += 1
        elif info.size_bytes > max_bytes:
            too_large.append(_too_large(info, max_bytes))
            if record is not None:
                outgrown.append(record)
        elif skip is not None and skip.etag == info.etag and not (rebuild or retry_skipped):
            still_broken.append(skip)
        else:
            to_read.append(info)
    closed = [each.key.removesuffix("/") for each in unlisted if each.key.endswith("/")]
    gone: list[ImageRecord] = []
    kept: list[ImageRecord] = []
    for row in left:
        record = records[row]
        (kept if _lies_in(record.object_key, closed) else gone).append(record)
    outdated = {key for key in skipped if key not in listed and not _lies_in(key, closed)}
    return Plan(
        seen=len(listed) + len(unlisted),
        to_read=tuple(to_read),
        unchanged=unchanged,
        too_large=tuple(too_large),
        still_broken=tuple(still_broken),
        gone=tuple(gone),
        outgrown=tuple(outgrown),
        forgotten=frozenset(outdated | {skip.object_key for skip in too_large} & skipped.keys()),
        unlisted=tuple(unlisted),
        kept=tuple(kept),
    )


def _lies_in(key: str, folders: Iterable[str]) -> bool:
    return any(in_folder(folder_of(key), folder) for folder in folders)


def refuse_shrink(
    removed: Iterable[ImageRecord], appeared: Iterable[ObjectInfo], snapshot: Snapshot, *, max_shrink: float, url: str
) -> None:
    """Raise ShrinkRefused when removing `removed` loses more than the share `max_shrink` of the index.

    A moved picture is no loss: its etag and size are among those of the objects that `appeared` under new keys.
    """
    moved = Counter((info.etag, info.size_bytes) for info in appeared)
    lost = (Counter((record.etag, record.size_bytes) for record in removed) - moved).total()
    total = len(snapshot.records)
    if lost > max_shrink * total:
        raise ShrinkRefused(
            f"{lost} of the {total} indexed pictures are gone from {url} or can't be read there any more. That is more "
            f"than INDEX_MAX_SHRINK={max_shrink:g} allows; nothing was removed. Check that STORAGE_URL names the right "
            f"place and that the files are whole. If the pictures were meant to go, or were moved in a way that "
            f"changed their etags, run again with --allow-shrink."
        )


def under_new_keys(objects: Iterable[ObjectInfo], snapshot: Snapshot) -> list[ObjectInfo]:
    """Those of `objects` whose key is not indexed."""
    return [info for info in objects if row_id(image_id_of(info.key)) not in snapshot.records]


def may_hold_news(plan: Plan, indexed: Iterable[ImageRecord]) -> bool:
    """Whether the model will be needed: something to read differs from all `indexed` pictures in etag or size."""
    known = {(record.etag, record.size_bytes) for record in indexed}
    return any((info.etag, info.size_bytes) not in known for info in plan.to_read)


def _too_large(info: ObjectInfo, max_bytes: int) -> Skip:
    reason = f"The file has {info.size_bytes:,} bytes, more than IMAGE_MAX_BYTES={max_bytes:,} allows."
    return Skip(info.key, info.etag, reason)
