"""Captions for indexed pictures that have none: read, describe, and publish at intervals.

A run that ends early, also by a kill, keeps what it has published; the next one goes on with the rest. Equal bytes are
described once.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from app.catalog.snapshot import Snapshot
from app.errors import AppError
from app.ingest.captioning import Said, lacks_caption
from app.ingest.reading import Content, Failure, Gone
from app.storage.base import ObjectInfo
from indexer.executor import Described, Executor
from indexer.plan import Run
from indexer.publication import Publisher
from indexer.results import ResultCollector

SHARE = 10
"""Describing takes at least this many times as long as publishing."""

LONGEST_S: Final = 60.0
"""Work that may be lost by a kill, in seconds, where publishing is slow."""

MOST_ROWS: Final = 1000
"""Records that wait for a publication."""


class CaptionFiller:
    """Describes the pictures of one state that have no caption."""

    def __init__(
        self,
        run: Run,
        snapshot: Snapshot,
        publisher: Publisher,
        collector: ResultCollector,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.snapshot = snapshot
        """The last published state."""
        self._run, self._publisher, self._collector, self._clock = run, publisher, collector, clock
        self.missing: dict[str, list[int]] = {}
        """Rows without a caption, by content hash."""
        for row, record in snapshot.records.items():
            if lacks_caption(record):
                self.missing.setdefault(record.content_hash, []).append(row)
        self._waiting: dict[int, Said] = {}
        """By row; not yet published."""
        self._published_at, self._pause_s = clock(), 0.0

    def fill(self, executor: Executor) -> None:
        """Describe and publish, until all is done or a stop is requested. Raises AppError."""
        run = self._run
        executor.prepare_captions(run.progress)
        run.progress.phase("captioning", sum(map(len, self.missing.values())))
        self._published_at = self._clock()
        try:
            for batch in executor.caption(self._objects()):
                self._take(batch)
                if run.stop():
                    self._collector.results.interrupted = True
                    break
                if self._is_due:
                    self._publish()
        except AppError:
            self._publish()
            raise
        self._publish()

    def _objects(self) -> Iterator[ObjectInfo]:
        """One for each content."""
        for rows in self.missing.values():
            if record := self.snapshot.records.get(rows[0]):
                yield ObjectInfo(record.object_key, record.etag, record.size_bytes, record.modified_at)

    def _take(self, batch: Sequence[Described]) -> None:
        for each in batch:
            self._collector.count_failures(each.outcome)
            match each.outcome:
                case Content(content_hash=content_hash) if each.said is not None:
                    rows = self.missing.get(content_hash, ())  # none where the object has changed since: a later run
                    self._waiting |= dict.fromkeys(rows, each.said)
                    self._run.progress.advance(len(rows))
                case Gone():
                    self._run.progress.advance()
                case Failure(key=key, reason=reason):
                    self._collector.results.caption_failed.append(Failure(key, reason))
                    self._run.progress.advance()
                case _:
                    self._run.progress.advance()

    @property
    def _is_due(self) -> bool:
        if not self._waiting:
            return False
        return len(self._waiting) >= MOST_ROWS or self._clock() - self._published_at >= self._pause_s

    def _publish(self) -> None:
        began_at = self._clock()
        waiting, self._waiting = self._waiting, {}
        described = [
            described
            for row, said in waiting.items()
            if (record := self.snapshot.records.get(row)) is not None
            and (described := self._collector.results.with_caption(record, said)) != record
        ]
        if described:
            self.snapshot = self._publisher.publish_words(described, self.snapshot)
        self._published_at = self._clock()
        self._pause_s = min(LONGEST_S, SHARE * (self._published_at - began_at))
