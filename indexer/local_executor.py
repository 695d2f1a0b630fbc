"""The executor in this process: threads read ahead, and the calling thread embeds in batches.

Equal bytes are embedded once: a picture whose content the catalog or this run knows takes the vector that is there.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from app.bootstrap import Parts
from app.ingest.captioning import Said, describe
from app.ingest.embedding import Embedded, embed, not_embedded
from app.ingest.reading import Content, Reader, ReadOutcome
from app.library.thumbnails import Thumbnails
from app.pictures.decoding import Picture
from app.pictures.limits import Limits
from app.pictures.two_sizes import read_in_two_sizes
from app.storage.base import ObjectInfo
from app.types import ImageRecord
from indexer.executor import Described, described
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
        self._captioner = parts.captioner
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
        if needs_model:
            self.prepare_captions(progress)

    def prepare_captions(self, progress: Progress) -> None:
        """As `Executor.prepare_captions`."""
        if self._captioner and not self._captioner.is_loaded:
            progress.phase("loading the captioner")
            log.info("The captioner is %s, %s.", self._captioner.name, self._captioner.captioner.runtime)

    def caption(self, objects: Iterable[ObjectInfo]) -> Iterator[Sequence[Described]]:
        """As `Executor.caption`."""
        assert self._captioner is not None
        lazy, parts = self._captioner, self._parts
        reader = Reader(parts.store, parts.settings.image, {}, partial(self._decoders.run, lazy.resize))
        size = min(parts.settings.caption.batch_size, self._settings.look_ahead)
        batch: list[ReadOutcome] = []
        with LookAhead(reader, objects, readers=self._settings.readers, limit=self._settings.look_ahead) as ahead:
            for outcome in ahead:
                batch += [outcome] if outcome is not None else []
                if len(batch) < size and not ahead.cramped:
                    yield ()
                    continue
                yield described(lazy.captioner, batch)
                for each in batch:
                    ahead.release(each)
                batch = []
            yield described(lazy.captioner, batch)

    def _read_picture(self, data: bytes, limits: Limits) -> Picture:
        second = self._captioner.resize if self._captioner else None
        return read_in_two_sizes(self._decoders, self._model.read_picture, second, data, limits)

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
        said = self._describe(batch, vectors)
        for same, picture, vector in zip(batch.values(), pictures, vectors, strict=True):
            if isinstance(vector, Exception):
                for content in same:
                    self._collector.add_unindexed(not_embedded(content, vector))
            else:
                size = picture.width, picture.height
                self._collector.add_embedded(same, size, vector, said.get(same[0].content_hash))
            ahead.release(same[0])

    def _describe(self, batch: Mapping[str, list[Content]], vectors: Sequence[Embedded]) -> dict[str, Said]:
        """What the captioner says of pictures that have a vector and want a caption, by content hash."""
        captioner = self._captioner
        if captioner is None:
            return {}
        wanted = {
            content_hash: same[0].picture.second
            for (content_hash, same), vector in zip(batch.items(), vectors, strict=True)
            if same[0].picture
            and not isinstance(vector, Exception)
            and self._collector.wants_caption(same, captioner.name)
        }
        if not wanted:
            return {}
        return dict(zip(wanted, describe(captioner.captioner, list(wanted.values())), strict=True))
