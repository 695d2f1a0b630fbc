"""The executor in this process: threads read ahead, and the calling thread embeds in batches.

Equal bytes are embedded once: a picture whose content the catalog or this run knows takes the vector that is there.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.bootstrap import Parts
from app.ingest.embedding import embed, not_embedded
from app.ingest.reading import Content, Reader, ReadOutcome
from app.library.thumbnails import Thumbnails
from app.pictures.decoding import Picture
from app.pictures.limits import Limits
from app.storage.base import ObjectInfo
from app.types import ImageRecord
from indexer.fitting import LEAST_PICTURES, calibration_on
from indexer.look_ahead import LookAhead
from indexer.progress import Progress
from indexer.results import ResultCollector
from indexer.signals import Stop

log = logging.getLogger(__name__)


class LocalExecutor:
    """Goes once through the objects to read, in the thread that owns the model."""

    def __init__(self, parts: Parts, known: Mapping[str, ImageRecord], collector: ResultCollector) -> None:
        """Contents whose hash is in `known` are not embedded again."""
        self._parts = parts
        self._model = parts.model
        self._settings = parts.settings.index
        self._decoders = parts.decoders
        self._known = known
        thumbnails = Thumbnails(parts.store, parts.settings.image, parts.index_store, parts.decoders)
        self._reader = Reader(
            parts.store,
            parts.settings.image,
            known,
            self._read_picture,
            keep_location=parts.settings.metadata.gps,
            on_picture=thumbnails.make_ahead if self._settings.thumbnails else None,
        )
        self._collector = collector
        self._batch: dict[str, list[Content]] = {}
        """By content hash; the first of each list is embedded for all of them."""

    def prepare(self, objects: Sequence[ObjectInfo], progress: Progress, *, needs_model: bool) -> None:
        """Load the model where it will be needed. Raises ModelUnavailable."""
        self._model.calibration = calibration_on(self._parts, objects) if len(objects) >= LEAST_PICTURES else None
        if needs_model and not self._model.is_loaded:
            progress.phase("loading the model")
            log.info("The model is %s.", self._model.embedder.identity.name)

    def _read_picture(self, data: bytes, limits: Limits) -> Picture:
        return self._decoders.run(self._model.read_picture, data, limits)

    def run(self, objects: Sequence[ObjectInfo], stop: Stop) -> None:
        """As `Executor.run`. Raises StorageUnavailable, ModelUnavailable."""
        limit = self._settings.look_ahead
        batch_size = min(self._settings.batch_size, limit)
        with LookAhead(self._reader, objects, readers=self._settings.readers, limit=limit) as ahead:
            for outcome in ahead:
                if stop():
                    self._collector.results.interrupted = True
                    return
                if outcome is not None:
                    self._take(outcome, ahead)
                if len(self._batch) >= batch_size or ahead.cramped:
                    self._embed_batch(ahead)
            self._embed_batch(ahead)

    def _take(self, outcome: ReadOutcome, ahead: LookAhead) -> None:
        self._collector.count_failures(outcome)
        if not isinstance(outcome, Content):
            self._collector.add_unindexed(outcome)
        elif outcome.content_hash in self._known:
            self._collector.copy_indexed(outcome)
        elif not self._collector.copy_embedded(outcome):
            same = self._batch.setdefault(outcome.content_hash, [])
            if not same:
                same.append(outcome)
                return  # released when its batch is embedded
            same.append(replace(outcome, picture=None))
        ahead.release(outcome)

    def _embed_batch(self, ahead: LookAhead) -> None:
        batch, self._batch = self._batch, {}
        if not batch:
            return
        pictures = [same[0].picture for same in batch.values() if same[0].picture]
        vectors = embed(self._model.embedder, [picture.image for picture in pictures])
        for same, picture, vector in zip(batch.values(), pictures, vectors, strict=True):
            if isinstance(vector, Exception):
                for content in same:
                    self._collector.add_unindexed(not_embedded(content, vector))
            else:
                self._collector.add_embedded(same, (picture.width, picture.height), vector)
            ahead.release(same[0])
