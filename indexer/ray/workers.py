"""What runs in Ray's workers: a stage that reads and decodes, a stage that embeds, and the claims on equal bytes.

After a worker's death a stage runs again over the same objects, with the same outcome. `bootstrap` is imported by the
workers that need it: it takes longer than all the rest here, and every run starts new worker processes.
"""

import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.errors import AppError
from app.ingest.captioning import Said, describe
from app.ingest.embedding import Embedded, embed, not_embedded
from app.ingest.reading import Content, Failure, Reader, ReadOutcome, key_of
from app.library.thumbnails import Thumbnails
from app.models.base import Embedder
from app.models.captioner.base import Captioner
from app.pictures.decoding import Picture, ReadPicture
from app.pictures.processes import DecoderProcesses, Decoders
from app.pictures.resize import Resize
from app.pictures.two_sizes import read_in_two_sizes
from app.settings import Settings
from app.storage.base import ObjectInfo, ObjectStore, StoredObject
from app.storage.urls import folder_of_url, scheme_of, url_of_folder
from app.types import ModelIdentity, Vectors, hash_content
from indexer.executor import described

Batch: TypeAlias = dict[str, NDArray[Any]]
"""As Ray Data hands it over: one column, `COLUMN`, of pickles."""

COLUMN = "pickled"

DEADLY = "The Ray worker that embedded it died at every attempt, perhaps out of memory. See Ray's logs on its node."


@dataclass(frozen=True)
class WorkerParts:
    """Makes the store and the model of a worker from the settings. Picklable."""

    settings: Settings

    @classmethod
    def of(cls, settings: Settings) -> "WorkerParts":
        """Make relative folders absolute, because a worker starts in another folder."""
        storage = settings.storage.model_copy(update={"url": _absolute(settings.storage.url)})
        index_url = settings.index.url and _absolute(settings.index.url)
        name, captioner = _absolute_model(settings.model.name), _absolute_model(settings.caption.model)
        return cls(
            settings.model_copy(
                update={
                    "storage": storage,
                    "model": settings.model.model_copy(update={"name": name}),
                    "caption": settings.caption.model_copy(update={"model": captioner}),
                    "index": settings.index.model_copy(update={"url": index_url}),
                }
            )
        )

    def open_store(self) -> ObjectStore:
        from app import bootstrap

        return bootstrap.open_store(self.settings.storage)

    def open_index_store(self) -> ObjectStore:
        from app import bootstrap

        return bootstrap.open_index_store(self.settings, _store(self))

    def load_embedder(self) -> Embedder:
        """Raises ModelUnavailable."""
        from app import bootstrap

        return bootstrap.load_embedder(self.settings.model, for_batches=True)

    def load_captioner(self) -> Captioner | None:
        """None where CAPTION_MODEL names none. Raises ModelUnavailable."""
        from app import bootstrap

        lazy = bootstrap.make_captioner(self.settings)
        return lazy.captioner if lazy else None

    def picture_reader(self) -> ReadPicture:
        """As `bootstrap.picture_reader`. Raises ModelUnavailable."""
        from app import bootstrap

        return bootstrap.picture_reader(self.settings.model)


@dataclass(frozen=True, slots=True)
class ObjectResult:
    """One object on its way through the stages."""

    outcome: ReadOutcome
    content_hash: str = ""
    """Hash of the bytes, even where they could not be decoded; empty where none were read."""
    size: tuple[int, int] = (0, 0)
    """Width and height in pixels, where a picture was embedded."""
    vector: Vectors | None = None
    """(D,) unit row, where the picture was embedded by this worker."""
    said: Said | None = None
    """What the captioner says of it, if it was asked."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What comes out of the last stage: the objects of one batch, or the error that ends the run."""

    objects: tuple[ObjectResult, ...] = ()
    identity: ModelIdentity | None = None
    """The model that embedded, if one did."""
    error: Exception | None = None


class Claims:
    """An actor that decides which worker embeds which content, so that equal bytes are embedded once.

    A key may claim again what it has claimed. If this actor dies, it forgets the claims: some bytes are embedded twice.
    """

    def __init__(self, known: frozenset[str], max_attempts: int, settled: Mapping[str, str] | None = None) -> None:
        """Contents whose hash is `known` are never embedded. A batch is begun `max_attempts` times at most.

        `settled` are keys whose pictures are not to be described while they have this content hash; empty: any.
        """
        self._known, self._settled = known, settled or {}
        self._max_attempts = max_attempts
        self._claims: dict[str, str] = {}
        self._begun: Counter[str] = Counter()

    def claim(self, contents: Sequence[tuple[str, str]]) -> list[bool]:
        """For each (content hash, key), whether this key's object is to be decoded and embedded."""
        return [
            content_hash not in self._known and self._claims.setdefault(content_hash, key) == key
            for content_hash, key in contents
        ]

    def wants_captions(self, contents: Sequence[tuple[str, str]]) -> list[bool]:
        """For each (content hash, key), whether the picture is to be described."""
        return [self._settled.get(key) not in (content_hash, "") for content_hash, key in contents]

    def begin(self, key: str) -> bool:
        """Whether the batch whose first object has this key may be tried once more."""
        self._begun[key] += 1
        return self._begun[key] <= self._max_attempts


class ReadStage:
    """`ObjectInfo` in, `ObjectResult` out: fetch, hash, decode. Runs as many tasks as there are free CPUs."""

    def __init__(
        self,
        parts: WorkerParts,
        read_picture: ReadPicture,
        claim: Callable[[Sequence[tuple[str, str]]], list[bool]],
        second: Resize | None = None,
    ) -> None:
        """`second` is the captioner's size, where pictures are to be described after they are embedded."""
        self._parts, self._read_picture, self._claim, self._second = parts, read_picture, claim, second

    def __call__(self, batch: Batch) -> Batch:
        try:
            return pack(self._read(unpack(batch)))
        except Exception as error:  # noqa: BLE001 - the indexer raises it again when it opens the result
            return pack([BatchResult(error=_picklable(error))])

    def _read(self, infos: Sequence[ObjectInfo]) -> list[ObjectResult]:
        reader = _reader(self._parts, self._read_picture, self._second)
        with ThreadPoolExecutor(self._parts.settings.index.readers) as threads:
            fetched = list(zip(infos, threads.map(reader.fetch, infos), strict=True))
        contents = [
            (hash_content(stored.data), info.key) for info, stored in fetched if isinstance(stored, StoredObject)
        ]
        claimed = iter(zip(contents, self._claim(contents) if contents else (), strict=True))
        results: list[ObjectResult] = []
        for info, stored in fetched:
            if not isinstance(stored, StoredObject):
                results.append(ObjectResult(stored))
                continue
            (content_hash, _), is_ours = next(claimed)
            if is_ours:
                outcome: ReadOutcome = reader.decode(info, stored)
            else:
                outcome = Content(info, stored.etag, len(stored.data), content_hash, None)
            results.append(ObjectResult(outcome, content_hash))
        return results


class EmbedStage:
    """`ObjectResult` in, `BatchResult` out: an actor that loads the model once and replaces pictures by vectors."""

    def __init__(
        self,
        parts: WorkerParts,
        begin: Callable[[str], bool],
        wants_captions: Callable[[Sequence[tuple[str, str]]], list[bool]],
    ) -> None:
        self._parts = parts
        self._begin = begin
        self._wants_captions = wants_captions

    def __call__(self, batch: Batch) -> Batch:
        return _worked(batch, self._embed)

    @cached_property
    def _embedder(self) -> Embedder:
        return self._parts.load_embedder()

    @cached_property
    def _captioner(self) -> Captioner | None:
        return self._parts.load_captioner()

    def _embed(self, objects: list[ObjectResult]) -> BatchResult:
        contents = {
            number: (each.outcome, each.outcome.picture)
            for number, each in enumerate(objects)
            if isinstance(each.outcome, Content) and each.outcome.picture
        }
        if not contents:
            return BatchResult(tuple(objects))
        if not self._begin(key_of(objects[0].outcome)):
            return BatchResult(tuple(_given_up(each) for each in objects))
        captioner = self._captioner  # before any work, so that one that can't be loaded is told at once
        vectors = embed(self._embedder, [picture.image for _, picture in contents.values()])
        said = self._describe(captioner, contents, vectors) if captioner else {}
        for (number, (content, picture)), vector in zip(contents.items(), vectors, strict=True):
            if isinstance(vector, Exception):
                objects[number] = ObjectResult(not_embedded(content, vector), content.content_hash)
            else:
                size = picture.width, picture.height
                seen = replace(content, picture=None)
                objects[number] = ObjectResult(seen, content.content_hash, size, vector, said.get(number))
        return BatchResult(tuple(objects), self._embedder.identity)

    def _describe(
        self, captioner: Captioner, contents: Mapping[int, tuple[Content, Picture]], vectors: Sequence[Embedded]
    ) -> dict[int, Said]:
        """What the captioner says of pictures that have a vector and want a caption, by their number."""
        wants = self._wants_captions([(content.content_hash, content.info.key) for content, _ in contents.values()])
        wanted = {
            number: picture.second
            for (number, (_, picture)), vector, is_wanted in zip(contents.items(), vectors, wants, strict=True)
            if is_wanted and not isinstance(vector, Exception)
        }
        return dict(zip(wanted, describe(captioner, list(wanted.values())), strict=True))


class CaptionStage:
    """`ObjectResult` in, `BatchResult` out: an actor that loads the captioner alone, for pictures with a vector."""

    def __init__(self, parts: WorkerParts, begin: Callable[[str], bool]) -> None:
        self._parts, self._begin = parts, begin

    def __call__(self, batch: Batch) -> Batch:
        return _worked(batch, self._describe)

    @cached_property
    def _captioner(self) -> Captioner | None:
        return self._parts.load_captioner()

    def _describe(self, objects: list[ObjectResult]) -> BatchResult:
        if not objects or self._captioner is None:
            return BatchResult(tuple(objects))
        if not self._begin(key_of(objects[0].outcome)):
            return BatchResult(tuple(_given_up(each) for each in objects))
        found = described(self._captioner, [each.outcome for each in objects])
        return BatchResult(tuple(ObjectResult(each.outcome, said=each.said) for each in found))


def _worked(batch: Batch, work: Callable[[list[ObjectResult]], BatchResult]) -> Batch:
    """What `work` makes of the objects, and the errors of the stage before."""
    items: list[ObjectResult | BatchResult] = unpack(batch)
    errors = [item for item in items if isinstance(item, BatchResult)]
    try:
        return pack([*errors, work([item for item in items if isinstance(item, ObjectResult)])])
    except Exception as error:  # noqa: BLE001 - the indexer raises it again when it opens the result
        return pack([*errors, BatchResult(error=_picklable(error))])


def pack(items: Iterable[object]) -> Batch:
    pickles = [pickle.dumps(item) for item in items]
    column = np.empty(len(pickles), object)
    column[:] = pickles
    return {COLUMN: column}


def unpack(batch: Batch) -> list[Any]:
    return [pickle.loads(item) for item in batch[COLUMN]]  # noqa: S301 - from our own workers


def _absolute(url: str) -> str:
    return url_of_folder(folder_of_url(url).absolute()) if scheme_of(url) == "file" else url


def _absolute_model(name: str) -> str:
    """The name, or the absolute path where it is one of a folder."""
    folder = Path(name).expanduser()
    return str(folder.absolute()) if name not in ("", "demo") and folder.is_dir() else name


def _given_up(result: ObjectResult) -> ObjectResult:
    """A failure in place of a picture; other outcomes stay."""
    if not isinstance(result.outcome, Content) or result.outcome.picture is None:
        return result
    return ObjectResult(Failure(result.outcome.info.key, DEADLY), result.content_hash)


@lru_cache(maxsize=1)
def _decoders(max_memory_bytes: int) -> Decoders:
    """One process for each worker process, which can be killed where the worker can't."""
    return DecoderProcesses(1, max_memory_bytes)


def _reader(parts: WorkerParts, read_picture: ReadPicture, second: Resize | None) -> Reader:
    settings, store = parts.settings, _store(parts)
    decoders = _decoders(settings.image.max_memory_bytes)
    thumbnails = Thumbnails(store, settings.image, _index_store(parts), decoders) if settings.index.thumbnails else None
    return Reader(
        store,
        settings.image,
        {},
        partial(read_in_two_sizes, decoders, read_picture, second),
        keep_location=settings.metadata.gps,
        on_picture=thumbnails.make_ahead if thumbnails else None,
    )


@lru_cache(maxsize=1)
def _index_store(parts: WorkerParts) -> ObjectStore:
    """As `_store`."""
    return parts.open_index_store()


@lru_cache(maxsize=1)
def _store(parts: WorkerParts) -> ObjectStore:
    """One for each worker process."""
    return parts.open_store()


def _picklable(error: Exception) -> Exception:
    """`AppError`s unchanged. Others become a RuntimeError: their classes may be unknown in the indexer's process."""
    return error if isinstance(error, AppError) else RuntimeError(f"{type(error).__name__}: {error}")
