"""Objects in, rows out: readers run ahead, this thread embeds what they bring, in batches.

Equal bytes are embedded once: a picture whose content the catalog or this run knows already takes that vector.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from app.ingest.embedding import encode, not_embedded
from app.ingest.reading import Content, Outcome, Reader
from app.settings import IndexSettings
from app.storage.base import ObjectInfo
from app.types import ImageRecord
from indexer.look_ahead import LookAhead
from indexer.progress import Progress
from indexer.results import Harvest, Harvester

if TYPE_CHECKING:
    from indexer.executor import Model, Parts

log = logging.getLogger(__name__)


def plain_engine(parts: "Parts", known: Mapping[str, ImageRecord], harvester: Harvester) -> "Pipeline":
    """Threads that read and one model, all in this process."""
    reader = Reader(parts.store, parts.settings.image, known, parts.model.read)
    return Pipeline(reader, parts.model, harvester, parts.settings.index)


class Pipeline:
    """One pass over the objects to read, for the thread that owns the model."""

    def __init__(self, reader: Reader, model: "Model", harvester: Harvester, settings: IndexSettings) -> None:
        self._reader = reader
        self._model = model
        self._harvester = harvester
        self._settings = settings
        self._batch: dict[str, list[Content]] = {}
        """By content hash; the first of each list is embedded for all of them."""

    @property
    def harvest(self) -> Harvest:
        return self._harvester.harvest

    def prepare(self, progress: Progress, *, needs_model: bool) -> None:
        """Load the model, where it will be needed. Raises ModelUnavailable."""
        if needs_model and not self._model.is_loaded:
            progress.phase("loading the model")
            log.info("The model is %s.", self._model.embedder.identity.name)

    def run(self, objects: Sequence[ObjectInfo], stop: Callable[[], bool]) -> None:
        """Fill `harvest`; when `stop` turns true, with what is embedded by then.

        Raises StorageUnavailable, ModelUnavailable, and what nobody expected; `harvest` holds what was done before.
        """
        limit = self._settings.look_ahead
        batch_size = min(self._settings.batch_size, limit)
        with LookAhead(self._reader, objects, readers=self._settings.readers, limit=limit) as ahead:
            for outcome in ahead:
                if stop():
                    self.harvest.interrupted = True
                    return
                if outcome is not None:
                    self._take(outcome, ahead)
                if len(self._batch) >= batch_size or ahead.cramped:
                    self._embed_batch(ahead)
            self._embed_batch(ahead)

    def _take(self, outcome: Outcome, ahead: LookAhead) -> None:
        self._harvester.watch(outcome)
        if not isinstance(outcome, Content):
            self._harvester.note(outcome)
        elif outcome.picture is None:
            self._harvester.take_vector_of_indexed(outcome)
        elif not self._harvester.take_vector_of_embedded(outcome):
            same = self._batch.setdefault(outcome.content_hash, [])
            if not same:
                same.append(outcome)
                return  # Released when its batch is embedded.
            same.append(replace(outcome, picture=None))
        ahead.release(outcome)

    def _embed_batch(self, ahead: LookAhead) -> None:
        batch, self._batch = self._batch, {}
        if not batch:
            return
        pictures = [same[0].picture for same in batch.values() if same[0].picture]
        vectors = encode(self._model.embedder, [picture.image for picture in pictures])
        for same, picture, vector in zip(batch.values(), pictures, vectors, strict=True):
            if isinstance(vector, Exception):
                for content in same:
                    self._harvester.note(not_embedded(content, vector))
            else:
                self._harvester.add_embedded(same, (picture.width, picture.height), vector)
            ahead.release(same[0])
