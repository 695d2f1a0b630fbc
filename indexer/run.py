"""One index run: lock, load, list, diff, read and embed, publish once, report.

The plan is made against the snapshot that is loaded before the listing starts: what others publish later is neither
in the plan nor undone by it.
"""

import logging
import time
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from app.catalog.catalog import mismatch_message
from app.catalog.changes import Changes, Snapshot
from app.catalog.layout import POINTER_KEY, is_picture_key
from app.catalog.lock import IndexLock
from app.catalog.records import Records
from app.catalog.snapshot import Drift, drift_of
from app.errors import (
    AppError,
    IndexCorrupt,
    IndexMismatch,
    ObjectNotFound,
    ShrinkRefused,
    StorageUnavailable,
    VectorStoreUnavailable,
)
from app.storage.base import ObjectInfo
from app.types import ImageRecord, ModelIdentity, Vectors, image_id_of, row_id
from indexer.calibrating import calibration_on
from indexer.contents import Contents
from indexer.executor import Parts
from indexer.plan import Diff, diff_listing, may_hold_news, refuse_shrink, under_new_keys
from indexer.progress import Progress, UnbrokenProgress
from indexer.report import Report, make_report
from indexer.results import Harvest, Harvester

log = logging.getLogger(__name__)

PUBLISH_PATIENCE_S = 300.0
"""How long publishing is tried again while the storage does not answer: hours of work may wait for it."""

MAX_PAUSE_S = 30.0
"""Longest wait between two tries; the first is a second, each further one twice as long."""


@dataclass(frozen=True)
class Options:
    """What a person may ask of one run."""

    rebuild: bool = False
    """Embed everything again and replace the index whole."""
    allow_shrink: bool = False
    """Remove however much is gone."""
    retry_skipped: bool = False
    """Read again what could not be read before, changed or not."""


def run_index(parts: Parts, options: Options, progress: Progress, stop: Callable[[], bool] = lambda: False) -> Report:
    """Make the index true to the bucket. When `stop` turns true, what is done by then is published.

    So is what was done when the run fails in the middle. Raises IndexBusy, IndexCorrupt, IndexMismatch,
    ModelUnavailable, ShrinkRefused, StorageUnavailable, and AppError when nothing could be published at all.
    """
    progress = UnbrokenProgress(progress)
    try:
        with IndexLock(parts.store, parts.settings.index.lock_ttl_s):
            return _Run(parts, options, progress, stop).execute()
    finally:
        progress.close()


class _Run:
    def __init__(self, parts: Parts, options: Options, progress: Progress, stop: Callable[[], bool]) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._options = options
        self._progress = progress
        self._stop = stop
        self._before: Snapshot | None = None
        self._drift = Drift()
        self._unusable = False
        """Whether there is an index that only a whole rebuild can replace: another model's, or a damaged one."""

    def execute(self) -> Report:
        started_at = time.monotonic()
        self._load()
        diff, listed = self._plan()
        harvest = self._read_and_embed(diff) if listed else Harvest(interrupted=True)
        self._refuse_empty(harvest)
        removed = self._removals(diff, harvest)
        self._refuse_losses(diff, harvest, removed)
        after = self._publish(self._changes(diff, harvest, removed), harvest)
        if after is not None:
            self._drop_extra(after)
            after = self._fold(after)
        return make_report(
            diff,
            harvest,
            self._before,
            removed,
            generation=after.pointer.generation if after else None,
            took_s=time.monotonic() - started_at,
        )

    @property
    def _identity(self) -> ModelIdentity:
        """Of the vectors to publish. With none made, the index's own will do and nothing is loaded for it."""
        if self._before is None or self._unusable or self._parts.model.is_used:
            return self._parts.model.identity
        return self._before.pointer.model

    def _load(self) -> None:
        try:
            self._before = self._parts.catalog.load()
        except (IndexCorrupt, IndexMismatch) as error:
            if not self._options.rebuild:
                raise
            log.warning("The current index can't be used and will be replaced: %s", error)
            self._unusable = True
        model = self._parts.model
        if self._before is not None and self._before.pointer.model.fingerprint != model.fingerprint:
            if not self._options.rebuild:
                raise IndexMismatch(mismatch_message(self._before.pointer.model, model.embedder.identity))
            self._unusable = True
        if self._before is not None and not self._unusable:
            self._drift = drift_of(self._before)
            if self._drift.missing:
                log.warning("%d pictures have no vector any more and are read again.", len(self._drift.missing))

    def _plan(self) -> tuple[Diff, bool]:
        """The diff, and whether the listing it is made of came to its end."""
        self._progress.phase("listing")
        listing = list(self._list_pictures())
        max_bytes = self._settings.image.max_bytes
        if self._stop():
            return diff_listing((), None, max_bytes=max_bytes), False
        diff = diff_listing(
            listing,
            self._before,
            max_bytes=max_bytes,
            rebuild=self._options.rebuild,
            retry_skipped=self._options.retry_skipped,
            missing=self._drift.missing,
        )
        self._refuse_shrink([*diff.gone, *diff.outgrown], diff.to_read)
        return diff, True

    def _list_pictures(self) -> Iterator[ObjectInfo]:
        for info in self._parts.store.list():
            if self._stop():
                return
            if is_picture_key(info.key):
                self._progress.advance()
                yield info

    def _read_and_embed(self, diff: Diff) -> Harvest:
        if not diff.to_read:
            return Harvest()
        records = self._before.records if self._before else Records()
        indexed, reusable = self._contents(records)
        harvester = Harvester(indexed, progress=self._progress, check_storage=self._check_storage)
        self._parts.model.calibration = calibration_on(self._parts.store, diff.to_read)
        pipeline = self._parts.engine(self._parts, reusable, harvester)
        pipeline.prepare(self._progress, needs_model=may_hold_news(diff, records.values() if reusable else ()))
        self._progress.phase("indexing", len(diff.to_read))
        began_at = time.monotonic()
        try:
            pipeline.run(diff.to_read, self._stop)
        except Exception:
            self._rescue(pipeline.harvest)
            raise
        pipeline.harvest.took_s = time.monotonic() - began_at
        return pipeline.harvest

    def _contents(self, records: Records) -> tuple[Mapping[str, ImageRecord], Mapping[str, ImageRecord]]:
        """By content hash: what is known of pictures, and those among them whose vector can be taken."""
        missing = self._drift.missing
        with_vector = Contents(records, missing)
        known: Mapping[str, ImageRecord] = with_vector
        if missing:
            known = ChainMap(with_vector, Contents(records))  # type: ignore[arg-type]  # only read
        return known, {} if self._options.rebuild else with_vector

    def _check_storage(self) -> None:
        """One small read. Raises StorageUnavailable."""
        with suppress(ObjectNotFound):
            self._parts.store.get(POINTER_KEY)

    def _rescue(self, harvest: Harvest) -> None:
        """The run fails: try to keep what was embedded, remove nothing."""
        changes = Changes(*self._rows(harvest))
        if changes and not self._unusable:
            try:
                self._patiently(lambda: self._publish_on_top(changes))
            except AppError as error:
                log.warning("The %d pictures done so far could not be published: %s", harvest.done, error)

    def _refuse_empty(self, harvest: Harvest) -> None:
        """An index without pictures is no good start when there are some. Raises AppError."""
        starts_anew = self._before is None or self._unusable
        if starts_anew and harvest.failed and not (harvest.done or harvest.skipped or harvest.interrupted):
            first = harvest.failed[0]
            raise AppError(
                f"None of {len(harvest.failed):,} pictures could be read or embedded; nothing was published. "
                f"The first is {first.key}: {first.reason}"
            )

    def _refuse_losses(self, diff: Diff, harvest: Harvest, removed: list[ImageRecord]) -> None:
        """As for the listing, now that it is known what can be read. Refused, what was embedded is kept."""
        unreadable = {*_unreadable(harvest)}
        lost = [*removed, *(self._records_of(failure.key for failure in harvest.failed) if self._unusable else ())]
        try:
            self._refuse_shrink(lost, (info for info in diff.to_read if info.key not in unreadable))
        except ShrinkRefused:
            self._rescue(harvest)
            raise

    def _refuse_shrink(self, removed: Iterable[ImageRecord], present: Iterable[ObjectInfo]) -> None:
        if self._before is not None and not self._options.allow_shrink:
            refuse_shrink(
                removed,
                under_new_keys(present, self._before),
                self._before,
                max_shrink=self._settings.index.max_shrink,
                url=self._settings.storage.url,
            )

    def _removals(self, diff: Diff, harvest: Harvest) -> list[ImageRecord]:
        """Indexed pictures that are gone, and those in whose place nothing readable lies any more.

        An interrupted run leaves those that are gone to the next one: they may have moved to where it did not get.
        """
        gone = () if harvest.interrupted else diff.gone
        return [*gone, *diff.outgrown, *self._records_of(_unreadable(harvest))]

    def _records_of(self, keys: Iterable[str]) -> list[ImageRecord]:
        """Of the keys that were indexed when the run began."""
        return [record for key in keys if (record := _record_of(self._before, key))]

    def _changes(self, diff: Diff, harvest: Harvest, removed: list[ImageRecord]) -> Changes:
        added, vectors = self._rows(harvest)
        skipped_before = self._before.skipped if self._before else {}
        return Changes(
            added=added,
            vectors=vectors,
            removed=frozenset(record.image_id for record in removed),
            skipped=tuple(harvest.skipped),
            forgotten=diff.forgotten | (skipped_before.keys() & set(harvest.vanished)),
            copied=len(added) > len(harvest.records),
        )

    def _rows(self, harvest: Harvest) -> tuple[tuple[ImageRecord, ...], Vectors]:
        copies = list(harvest.copies)
        if self._options.rebuild and not self._unusable:
            kept = self._records_of(failure.key for failure in harvest.failed)
            copies += [(record, record) for record in kept if row_id(record.image_id) not in self._drift.missing]
        added = (*harvest.records, *(record for record, _ in copies))
        if not added:
            return (), np.empty((0, 0), np.float32)
        embedded = np.array(harvest.vectors, np.float32).reshape(-1, self._identity.dimension)
        if self._before is None or not copies:
            return added, embedded
        rows = [row_id(source.image_id) for _, source in copies]
        return added, np.concatenate([embedded, self._before.vectors.get(rows)])

    def _publish(self, changes: Changes, harvest: Harvest) -> Snapshot | None:
        """The published state after this run; the one before it when there is nothing to publish."""
        if harvest.interrupted and self._unusable:
            raise AppError(
                "The rebuild was interrupted before it had read every picture, and the index it was to replace can't "
                "be mixed with it; nothing was published. Run it again with --rebuild."
            )
        rebuild = self._options.rebuild and not harvest.interrupted
        if not rebuild and not changes:
            if self._before is not None:
                return self._before
            if harvest.interrupted:
                raise AppError("The first run was interrupted before any picture was done; nothing was published.")
        self._progress.phase("publishing")
        if rebuild:
            return self._patiently(
                lambda: self._parts.catalog.publish(changes, self._identity, rebuild=True, since=self._before)
            )
        return self._patiently(lambda: self._publish_on_top(changes))

    def _publish_on_top(self, changes: Changes) -> Snapshot:
        """On top of what others published meanwhile; their state, when that leaves nothing to say."""
        current = self._parts.catalog.load(self._before)
        left = _rebased(changes, self._before, current)
        if current is not None and not left:
            return current
        self._tell_of_mixture(current, left)
        return self._parts.catalog.publish(left, self._identity, since=current)

    def _tell_of_mixture(self, current: Snapshot | None, changes: Changes) -> None:
        own = self._identity.arithmetic
        others = [each for each in current.pointer.made_with if each != own] if current and changes.added else []
        if others:
            log.warning(
                "%d vectors made in %s join an index made in %s: they compare, but not to the last digit. "
                "`image2search index --rebuild` makes them all alike.",
                len(changes.added), own, " and ".join(others),
            )  # fmt: skip

    def _drop_extra(self, after: Snapshot) -> None:
        """Rows that a dead writer left in the vector server, unless somebody has listed them meanwhile."""
        if self._before is None or after.pointer.collection != self._before.pointer.collection:
            return
        extra = [row for row in self._drift.extra if row not in after.records]
        if extra:
            try:
                after.vectors.remove(extra)
            except AppError as error:
                log.warning("%d rows that no picture belongs to could not be dropped yet: %s", len(extra), error)

    def _fold(self, after: Snapshot) -> Snapshot:
        """What was published can be searched already: a fold that fails is only put off."""
        if self._stop() or not self._parts.catalog.needs_folding(after.pointer):
            return after
        self._progress.phase("folding")
        try:
            return self._parts.catalog.fold(after)
        except (AppError, MemoryError) as error:
            log.warning("The journals could not be folded, the next run tries again: %s", error)
            return after

    def _patiently(self, publish: Callable[[], Snapshot]) -> Snapshot:
        """Try again while a server does not answer, until the patience is over or a stop is asked for."""
        deadline = time.monotonic() + PUBLISH_PATIENCE_S
        pause_s = 1.0
        while True:
            try:
                return publish()
            except (StorageUnavailable, VectorStoreUnavailable) as error:
                if self._stop() or time.monotonic() + pause_s > deadline:
                    raise
                log.warning("Publishing failed and is tried again in %.0f s: %s", pause_s, error)
            self._pause(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stop() and time.monotonic() < until:
            time.sleep(0.1)


def _unreadable(harvest: Harvest) -> list[str]:
    """Keys under which the run found no picture."""
    return [skip.object_key for skip in harvest.skipped] + harvest.vanished


def _record_of(snapshot: Snapshot | None, key: str) -> ImageRecord | None:
    return snapshot.records.get(row_id(image_id_of(key))) if snapshot else None


def _rebased(changes: Changes, before: Snapshot | None, current: Snapshot | None) -> Changes:
    """`changes` without what others published differently since `before`: theirs is newer."""
    if current is None or current is before:
        return changes
    earlier, earlier_skips = (before.records, before.skipped) if before else ({}, {})

    def same_record(image_id: str) -> bool:
        return current.records.get(row_id(image_id)) == earlier.get(row_id(image_id))

    def same_skip(key: str) -> bool:
        return current.skipped.get(key) == earlier_skips.get(key)

    kept = [number for number, record in enumerate(changes.added) if same_record(record.image_id)]
    return Changes(
        added=tuple(changes.added[number] for number in kept),
        vectors=changes.vectors[kept],
        removed=frozenset(image_id for image_id in changes.removed if same_record(image_id)),
        skipped=tuple(
            skip for skip in changes.skipped if same_record(image_id_of(skip.object_key)) and same_skip(skip.object_key)
        ),
        forgotten=frozenset(key for key in changes.forgotten if same_skip(key)),
    )
