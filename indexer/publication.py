"""From the results of a run to a published state: the changes, the refusals, publishing and folding.

The changes are planned from the baseline. `Catalog.publish` leaves out what others have published differently since.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_exponential

from app.bootstrap import open_bank
from app.catalog.changes import Changes
from app.catalog.snapshot import Snapshot
from app.errors import AppError, ShrinkRefused, StorageUnavailable, VectorStoreUnavailable
from app.types import ImageRecord, ModelIdentity, Vectors, row_id
from indexer.plan import Baseline, Plan, Run, check_losses
from indexer.results import Results

log = logging.getLogger(__name__)

PUBLISH_PATIENCE_S = 300.0
"""How long publishing is tried again while a server does not answer: hours of work may depend on it."""

MAX_PAUSE_S = 30.0
"""Longest pause between two attempts to publish. The first pause is one second, each later one twice as long."""


class Publisher:
    """Publishes the results of one run."""

    def __init__(self, run: Run, baseline: Baseline) -> None:
        self._run = run
        self._baseline = baseline
        self._catalog = run.parts.catalog

    def removals(self, plan: Plan, results: Results) -> list[ImageRecord]:
        """Indexed pictures that are gone or can't be read any more.

        An interrupted run removes no gone pictures: they may have moved to a key that it did not reach.
        """
        gone = () if results.interrupted else plan.gone
        return [*gone, *plan.outgrown, *self._baseline.records_of(results.unreadable)]

    def publish(self, plan: Plan, results: Results, removed: list[ImageRecord]) -> Snapshot:
        """The published state after the run; the baseline when there is nothing to publish.

        Raises ShrinkRefused, IndexMismatch, IndexCorrupt, StorageUnavailable, VectorStoreUnavailable, ModelUnavailable,
        and AppError when nothing can be published.
        """
        self._refuse_empty_start(plan)
        self._refuse_failed_start(results)
        self._refuse_losses(plan, results, removed)
        self._refuse_partial_rebuild(results)
        changes = self._changes(plan, results, removed)
        rebuild = self._run.options.rebuild and not results.interrupted
        if self._baseline.snapshot is not None and not (rebuild or changes):
            after = self._baseline.snapshot
        elif results.interrupted and not changes:
            raise AppError("The first run was interrupted before any picture was done; nothing was published.")
        else:
            self._run.progress.phase("publishing")
            after = self._publish(changes, rebuild=rebuild)
        self._drop_extra_rows(after)
        return after

    def fold(self, after: Snapshot) -> Snapshot:
        """Fold the journals if it is time to. Searches see the pictures already, so a failure is only logged."""
        if self._run.stop() or not self._catalog.needs_folding(after.pointer):
            return after
        self._run.progress.phase("folding")
        try:
            return self._catalog.fold(after)
        except (AppError, MemoryError) as error:
            log.warning("The journals could not be folded, the next run tries again: %s", error)
            return after

    @contextmanager
    def keeping(self, results: Results) -> Iterator[None]:
        """If the code inside fails, try to publish the pictures that are done. Nothing is removed."""
        try:
            yield
        except Exception:
            self._keep(results)
            raise

    def _keep(self, results: Results) -> None:
        changes = Changes(*self._rows(results))
        if changes and not self._baseline.must_be_replaced:
            try:
                self._publish(changes)
            except AppError as error:
                log.warning("The %d pictures done so far could not be published: %s", results.done, error)

    @property
    def _starts(self) -> bool:
        """Whether nothing of an earlier index stays."""
        return self._baseline.snapshot is None or self._baseline.must_be_replaced

    def _refuse_empty_start(self, plan: Plan) -> None:
        """A disk that is not mounted looks like an empty folder, without pictures and without an index.

        Raises ShrinkRefused.
        """
        if self._baseline.snapshot is None and plan.is_empty and not self._run.options.allow_shrink:
            raise ShrinkRefused(
                f"There is nothing to read in {self._run.parts.settings.storage.url} and no index that could be "
                f"compared; nothing was published. If there should be pictures, mount the disk or correct "
                f"STORAGE_URL. To publish an empty index all the same, run again with --allow-shrink."
            )

    def _refuse_failed_start(self, results: Results) -> None:
        """An index must not start empty when there are pictures. Raises AppError."""
        if self._starts and results.vanished and not (results.done or results.skipped or results.failed):
            raise AppError(
                f"All {len(results.vanished):,} pictures were gone when they were to be read; nothing was published. "
                f"Check that the disk is still mounted, and run again."
            )
        if self._starts and results.failed and not (results.done or results.skipped or results.interrupted):
            first = results.failed[0]
            raise AppError(
                f"None of {len(results.failed):,} pictures could be read or embedded; nothing was published. "
                f"The first is {first.key}: {first.reason}"
            )

    def _refuse_losses(self, plan: Plan, results: Results, removed: list[ImageRecord]) -> None:
        """As for the listing, now that the run knows what can be read. Raises ShrinkRefused, after publishing the
        pictures that were embedded.
        """
        lost = list(removed)
        if self._baseline.must_be_replaced:
            lost += [*self._baseline.records_of(failure.key for failure in results.failed), *plan.kept]
        unreadable = {*results.unreadable}
        readable = [info for info in plan.to_read if info.key not in unreadable]
        try:
            check_losses(self._run, self._baseline, lost, readable)
        except ShrinkRefused:
            self._keep(results)
            raise

    def _refuse_partial_rebuild(self, results: Results) -> None:
        if results.interrupted and self._baseline.must_be_replaced:
            raise AppError(
                "The rebuild was interrupted before it had read every picture, and its vectors can't be mixed with "
                "those of the index that it was to replace; nothing was published. Run it again with --rebuild."
            )

    def _changes(self, plan: Plan, results: Results, removed: list[ImageRecord]) -> Changes:
        added, vectors = self._rows(results, plan.kept)
        skipped_before = self._baseline.snapshot.skipped if self._baseline.snapshot else {}
        return Changes(
            added=added,
            vectors=vectors,
            removed=frozenset(record.image_id for record in removed),
            skipped=tuple(results.skipped),
            forgotten=plan.forgotten | (skipped_before.keys() & set(results.vanished)),
            copied=len(added) > len(results.records),
        )

    def _rows(self, results: Results, kept: Iterable[ImageRecord] = ()) -> tuple[tuple[ImageRecord, ...], Vectors]:
        """(N) records and their (N, D) unit rows: embedded ones first, then copies of indexed ones.

        `kept` are indexed pictures in folders that could not be read.
        """
        copies = [*results.copies, *self._kept_by_rebuild(results, kept)]
        added = (*results.records, *(record for record, _ in copies))
        if not added:
            return (), np.empty((0, 0), np.float32)
        embedded = np.array(results.vectors, np.float32).reshape(-1, self._identity.dimension)
        if self._baseline.snapshot is None or not copies:
            return self._measured(added, embedded)
        sources = [row_id(source.image_id) for _, source in copies]
        return self._measured(added, np.concatenate([embedded, self._baseline.snapshot.vectors.get(sources)]))

    def _measured(self, records: tuple[ImageRecord, ...], vectors: Vectors) -> tuple[tuple[ImageRecord, ...], Vectors]:
        """The records with how near each is to any text at all, if the bank of texts is at hand."""
        bank = open_bank(self._run.parts, len(vectors))
        return (bank.measured(records, vectors) if bank else records), vectors

    def _kept_by_rebuild(self, results: Results, kept: Iterable[ImageRecord]) -> list[tuple[ImageRecord, ImageRecord]]:
        """Indexed pictures that a rebuild could not read this time: they keep their record and vector."""
        if not self._run.options.rebuild or self._baseline.must_be_replaced:
            return []
        failed = self._baseline.records_of(failure.key for failure in results.failed)
        return [
            (record, record)
            for record in (*failed, *kept)
            if row_id(record.image_id) not in self._baseline.drift.missing
        ]

    @property
    def _identity(self) -> ModelIdentity:
        """The model of the vectors to publish. If none were made, it is the index's, and no model is loaded for it."""
        model = self._run.parts.model
        if self._baseline.snapshot is None or self._baseline.must_be_replaced or model.is_used:
            return model.identity
        return self._baseline.snapshot.pointer.model

    def publish_words(self, records: Sequence[ImageRecord], since: Snapshot) -> Snapshot:
        """Publish records of `since` with other words. Raises as `publish`."""
        rows = [row_id(record.image_id) for record in records]
        changes = Changes(added=tuple(records), vectors=since.vectors.get(rows), copied=True)
        return self._patiently(lambda: self._catalog.publish(changes, since.pointer.model, since=since))

    def _publish(self, changes: Changes, *, rebuild: bool = False) -> Snapshot:
        since, identity = self._baseline.snapshot, self._identity
        after = self._patiently(lambda: self._catalog.publish(changes, identity, rebuild=rebuild, since=since))
        if changes.added and not rebuild:
            _warn_of_mixture(after, identity, len(changes.added))
        return after

    def _patiently(self, publish: Callable[[], Snapshot]) -> Snapshot:
        """Publish; try again while a server does not answer, until the patience ends or a stop is requested."""
        patience = stop_before_delay(PUBLISH_PATIENCE_S)
        retrying = Retrying(
            retry=retry_if_exception_type((StorageUnavailable, VectorStoreUnavailable)),
            wait=wait_exponential(multiplier=1, max=MAX_PAUSE_S),
            stop=lambda state: self._run.stop() or patience(state),
            sleep=self._pause,
            before_sleep=_log_retry,
            reraise=True,
        )
        return retrying(publish)

    def _pause(self, seconds: float) -> None:
        self._run.stop.wait(seconds)

    def _drop_extra_rows(self, after: Snapshot) -> None:
        """Delete rows that a dead writer left in the vector server, unless another writer has listed them since."""
        before = self._baseline.snapshot
        if before is None or after.pointer.collection != before.pointer.collection:
            return
        extra = [row for row in self._baseline.drift.extra if row not in after.records]
        if extra:
            try:
                after.vectors.remove(extra)
            except AppError as error:
                log.warning("%d rows that belong to no picture could not be deleted yet: %s", len(extra), error)


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("Publishing failed and is tried again in %.0f s: %s", state.upcoming_sleep, error)


def _warn_of_mixture(after: Snapshot, identity: ModelIdentity, count: int) -> None:
    others = [each for each in after.pointer.made_with if each != identity.arithmetic]
    if others:
        log.warning(
            "%d vectors made in %s join an index made in %s: they can be compared, with small differences in score. "
            "`image2search index --rebuild` makes them all in the same way.",
            count, identity.arithmetic, " and ".join(others),
        )  # fmt: skip
