"""Objects in, rows out: readers run ahead, this thread embeds what they bring, in batches.

Equal bytes are embedded once: a picture whose content the catalog or this run knows already takes that vector.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image

from app.errors import ModelUnavailable
from app.settings import IndexSettings
from app.storage.base import ObjectInfo
from app.types import ImageRecord, Skip, Vectors, image_id_of
from indexer.look_ahead import LookAhead
from indexer.progress import Progress
from indexer.reader import Content, Failure, Gone, Outcome, Picture, Reader

if TYPE_CHECKING:
    from app.models.base import Embedder

log = logging.getLogger(__name__)

Embedded: TypeAlias = "Vectors | Exception"
"""The (D,) unit row of a picture, or what the model raised over it alone."""

PROBE_AFTER = 8
"""Failed reads in a row after which the storage itself is asked whether it still answers."""


@dataclass
class Harvest:
    """What a run has done so far."""

    records: list[ImageRecord] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)
    """One (D,) unit row for each record."""
    copies: list[tuple[ImageRecord, ImageRecord]] = field(default_factory=list)
    """New records whose vector is that of the indexed record beside them."""
    skipped: list[Skip] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    """Object keys."""
    embedded: int = 0
    """Pictures that went through the model."""
    took_s: float = 0.0
    """Seconds of reading and embedding, without those of loading the model."""
    interrupted: bool = False

    @property
    def done(self) -> int:
        return len(self.records) + len(self.copies)


class Pipeline:
    """One pass over the objects to read, for the thread that owns the embedder."""

    def __init__(
        self,
        reader: Reader,
        embedder: "Callable[[], Embedder]",
        indexed: Mapping[str, ImageRecord],
        settings: IndexSettings,
        *,
        progress: Progress,
        check_storage: Callable[[], object],
    ) -> None:
        """`embedder` is asked for when pictures wait for it, `indexed` is by content hash.

        `check_storage` raises StorageUnavailable when nothing answers any more.
        """
        self.harvest = Harvest()
        self._reader = reader
        self._embedder = embedder
        self._indexed = indexed
        self._settings = settings
        self._progress = progress
        self._check_storage = check_storage
        self._batch: dict[str, list[Content]] = {}
        """By content hash; the first of each list is embedded for all of them."""
        self._embedded: dict[str, tuple[ImageRecord, Vectors]] = {}
        self._failures_in_a_row = 0

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
        self._watch_failures(outcome)
        if isinstance(outcome, Content) and not self._reuse(outcome):
            same = self._batch.setdefault(outcome.content_hash, [])
            if not same:
                same.append(outcome)
                return  # Released when its batch is embedded.
            same.append(replace(outcome, picture=None))
        elif not isinstance(outcome, Content):
            self._note(outcome)
            self._progress.advance()
        ahead.release(outcome)

    def _reuse(self, content: Content) -> bool:
        """Whether the content's vector was there already; if so, the picture is done."""
        if content.picture is None:
            source = self._indexed[content.content_hash]
            self.harvest.copies.append((_record(content, source.width, source.height, source.caption), source))
        elif content.content_hash in self._embedded:
            self._add(content, *self._embedded[content.content_hash])
        else:
            return False
        self._progress.advance()
        return True

    def _note(self, outcome: Skip | Gone | Failure) -> None:
        if isinstance(outcome, Skip):
            self.harvest.skipped.append(outcome)
        elif isinstance(outcome, Gone):
            self.harvest.vanished.append(outcome.key)
        else:
            self.harvest.failed.append(outcome)

    def _watch_failures(self, outcome: Outcome) -> None:
        self._failures_in_a_row = self._failures_in_a_row + 1 if isinstance(outcome, Failure) else 0
        if self._failures_in_a_row == PROBE_AFTER:
            self._failures_in_a_row = 0
            self._check_storage()

    def _embed_batch(self, ahead: LookAhead) -> None:
        batch, self._batch = self._batch, {}
        if not batch:
            return
        pictures = [same[0].picture for same in batch.values() if same[0].picture]
        vectors = self._encode([picture.image for picture in pictures])
        for (content_hash, same), picture, vector in zip(batch.items(), pictures, vectors, strict=True):
            if isinstance(vector, Exception):
                self.harvest.failed += [_not_embedded(content, vector) for content in same]
            else:
                self._add_embedded(content_hash, same, picture, vector)
            ahead.release(same[0])
        self._progress.advance(sum(len(same) for same in batch.values()))

    def _encode(self, images: list[Image.Image]) -> list[Embedded]:
        """What the model makes of each. Raises ModelUnavailable when it makes nothing of anything any more."""
        embedder = self._embedder()
        vectors = _encode_in_parts(embedder, images)
        failures = [vector for vector in vectors if isinstance(vector, Exception)]
        if len(failures) == len(images):
            _check_model(embedder, failures[0])
        return vectors

    def _add_embedded(self, content_hash: str, same: list[Content], picture: Picture, vector: Vectors) -> None:
        earlier = self._indexed.get(content_hash)
        first = _record(same[0], picture.width, picture.height, earlier.caption if earlier else None)
        self._embedded[content_hash] = first, vector
        self.harvest.embedded += 1
        for content in same:
            self._add(content, first, vector)

    def _add(self, content: Content, twin: ImageRecord, vector: Vectors) -> None:
        self.harvest.records.append(_record(content, twin.width, twin.height, twin.caption))
        self.harvest.vectors.append(vector)


def _record(content: Content, width: int, height: int, caption: str | None) -> ImageRecord:
    return ImageRecord(
        image_id=image_id_of(content.info.key),
        object_key=content.info.key,
        etag=content.etag,
        content_hash=content.content_hash,
        size_bytes=content.size_bytes,
        modified_at=content.info.modified_at,
        width=width,
        height=height,
        caption=caption,
    )


def _encode_in_parts(embedder: "Embedder", images: list[Image.Image]) -> list[Embedded]:
    """All at once; where that fails, by halves, down to the pictures that can't be embedded even alone."""
    try:
        return list(embedder.encode_images(images))
    except Exception as error:  # noqa: BLE001 - whether one picture or the model is to blame shows when all are tried.
        if len(images) == 1:
            return [error.with_traceback(None)]
        log.warning("The model failed over %d pictures together, trying them by halves: %s", len(images), _words(error))
    middle = len(images) // 2  # Out here the error is gone, and with it the memory that its frames held.
    return _encode_in_parts(embedder, images[:middle]) + _encode_in_parts(embedder, images[middle:])


def _check_model(embedder: "Embedder", failure: Exception) -> None:
    """Let the model embed a picture that no model refuses. Raises ModelUnavailable."""
    try:
        embedder.encode_images([Image.linear_gradient("L").convert("RGB")])
    except ModelUnavailable:
        raise
    except Exception as error:
        raise ModelUnavailable(
            f"The model embeds nothing any more, not even a plain picture ({_words(failure)}). Look for memory that "
            f"ran out, lower INDEX_BATCH_SIZE, or set MODEL_DEVICE=cpu; then run again."
        ) from error


def _not_embedded(content: Content, error: Exception) -> Failure:
    return Failure(content.info.key, f"The model can't embed it: {_words(error)}")


def _words(error: Exception) -> str:
    """The first line of what it says; a MemoryError may say nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
