"""What runs in Ray's workers: a stage that reads and decodes, a stage that embeds, and the ledger between equal bytes.

Every stage may run twice over the same objects, after a worker's death, with the same outcome.
"""

import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.errors import AppError
from app.ingest.embedding import encode, not_embedded
from app.ingest.reading import Content, Failure, Gone, Outcome, Reader
from app.pictures.decoding import Picture
from app.settings import ImageSettings, Settings
from app.storage.base import ObjectInfo, ObjectStore, StoredObject
from app.types import ModelIdentity, Skip, Vectors, hash_content

if TYPE_CHECKING:
    from app.models.base import Embedder

Batch: TypeAlias = dict[str, NDArray[Any]]
"""As Ray Data hands it over: one column, `COLUMN`, of pickles."""

COLUMN = "pickled"

TRIES = 5
"""Times that a batch is begun, each but the last ended by the worker's death: then the batch itself may be why."""

DEADLY = f"The Ray worker that embedded it died {TRIES} times, perhaps out of memory. See Ray's logs on its node."


@dataclass(frozen=True)
class Recipe:
    """How a worker makes a store and a model of its own. Picklable."""

    settings: Settings

    @classmethod
    def of(cls, settings: Settings) -> "Recipe":
        """With relative folders made absolute: a worker starts in another one."""
        scheme, _, folder = settings.storage.url.partition("://")
        url = f"file://{Path(folder).expanduser().absolute()}" if scheme == "file" else settings.storage.url
        model = Path(settings.model.name).expanduser()
        name = str(model.absolute()) if settings.model.name != "demo" and model.is_dir() else settings.model.name
        storage = settings.storage.model_copy(update={"url": url})
        return cls(
            settings.model_copy(update={"storage": storage, "model": settings.model.model_copy(update={"name": name})})
        )

    def open_store(self) -> ObjectStore:
        from app.bootstrap import open_store

        return open_store(self.settings.storage)

    def load_embedder(self) -> "Embedder":
        """Raises ModelUnavailable."""
        from app.bootstrap import load_embedder

        return load_embedder(self.settings.model, for_batches=True)

    def picture_reader(self) -> Callable[[bytes, ImageSettings], Picture]:
        """The model's own, without its weights. Picklable. Raises ModelUnavailable."""
        from app.models.checkpoint import find_checkpoint
        from app.models.original import Original

        return Original(find_checkpoint(self.settings.model)).prepare.images.read


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one object so far."""

    outcome: Outcome
    content_hash: str = ""
    """Of the bytes that were read, whatever came of them; empty where none were."""
    size: tuple[int, int] = (0, 0)
    vector: Vectors | None = None
    """(D,) unit row, where the picture was embedded here."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What comes out of the last stage: the rows of one batch, or the error that ends the run."""

    rows: tuple[Row, ...] = ()
    identity: ModelIdentity | None = None
    """Of the model that embedded, where one did."""
    error: Exception | None = None


class Ledger:
    """An actor that knows which contents need no embedding: the index's, and those that another key has claimed.

    The same key may claim again. Should the ledger itself die, it forgets the claims: some bytes are embedded twice.
    """

    def __init__(self, known: frozenset[str]) -> None:
        self._known = known
        self._claims: dict[str, str] = {}
        self._begun: Counter[str] = Counter()

    def claim(self, contents: Sequence[tuple[str, str]]) -> list[bool]:
        """For each (content hash, key), whether it is this key's turn to be decoded and embedded."""
        return [
            content_hash not in self._known and self._claims.setdefault(content_hash, key) == key
            for content_hash, key in contents
        ]

    def begin(self, key: str) -> bool:
        """Whether the batch whose first object has this key is worth another try."""
        self._begun[key] += 1
        return self._begun[key] <= TRIES


class ReadStage:
    """`ObjectInfo` in, `Row` out, in as many tasks as there are CPUs to spare: fetch, hash, decode."""

    def __init__(
        self,
        recipe: Recipe,
        read: Callable[[bytes, ImageSettings], Picture],
        claim: Callable[[Sequence[tuple[str, str]]], list[bool]],
    ) -> None:
        self._recipe, self._picture_reader, self._claim = recipe, read, claim

    def __call__(self, batch: Batch) -> Batch:
        try:
            return packed(self._read(unpacked(batch)))
        except Exception as error:  # noqa: BLE001 - raised again by whoever opens the parcel, in the indexer itself.
            return packed([Parcel(error=_picklable(error))])

    def _read(self, infos: Sequence[ObjectInfo]) -> list[Row]:
        reader = Reader(_store(self._recipe), self._recipe.settings.image, (), self._picture_reader)
        with ThreadPoolExecutor(self._recipe.settings.index.readers) as threads:
            fetched = list(zip(infos, threads.map(reader.fetch, infos), strict=True))
        contents = [
            (hash_content(stored.data), info.key) for info, stored in fetched if isinstance(stored, StoredObject)
        ]
        turns = iter(zip(contents, self._claim(contents) if contents else (), strict=True))
        rows: list[Row] = []
        for info, stored in fetched:
            if not isinstance(stored, StoredObject):
                rows.append(Row(stored))
                continue
            (content_hash, _), is_its_turn = next(turns)
            if is_its_turn:
                rows.append(Row(reader.decode(info, stored), content_hash))
            else:
                rows.append(Row(Content(info, stored.etag, len(stored.data), content_hash, None), content_hash))
        return rows


class EmbedStage:
    """`Row` in, `Parcel` out: an actor that loads the model once and drops each picture for its vector."""

    def __init__(self, recipe: Recipe, begin: Callable[[str], bool]) -> None:
        self._recipe = recipe
        self._begin = begin

    def __call__(self, batch: Batch) -> Batch:
        items: list[Row | Parcel] = unpacked(batch)
        errors = [item for item in items if isinstance(item, Parcel)]
        rows = [item for item in items if isinstance(item, Row)]
        try:
            return packed([*errors, self._embed(rows)])
        except Exception as error:  # noqa: BLE001 - as above.
            return packed([*errors, Parcel(error=_picklable(error))])

    @cached_property
    def _embedder(self) -> "Embedder":
        return self._recipe.load_embedder()

    def _embed(self, rows: list[Row]) -> Parcel:
        pictures = {
            number: row.outcome.picture
            for number, row in enumerate(rows)
            if isinstance(row.outcome, Content) and row.outcome.picture
        }
        if not pictures:
            return Parcel(tuple(rows))
        if not self._begin(key_of(rows[0].outcome)):
            return Parcel(tuple(_given_up(row) for row in rows))
        vectors = encode(self._embedder, [picture.image for picture in pictures.values()])
        for (number, picture), vector in zip(pictures.items(), vectors, strict=True):
            row = rows[number]
            assert isinstance(row.outcome, Content)
            if isinstance(vector, Exception):
                rows[number] = Row(not_embedded(row.outcome, vector), row.content_hash)
            else:
                bare = replace(row.outcome, picture=None)
                rows[number] = Row(bare, row.content_hash, (picture.width, picture.height), vector)
        return Parcel(tuple(rows), self._embedder.identity)


def key_of(outcome: Outcome) -> str:
    match outcome:
        case Content(info=info):
            return info.key
        case Skip(object_key=key):
            return key
        case Gone(key=key) | Failure(key=key):
            return key


def _given_up(row: Row) -> Row:
    """Without its picture, where it has one."""
    if not isinstance(row.outcome, Content) or row.outcome.picture is None:
        return row
    return Row(Failure(row.outcome.info.key, DEADLY), row.content_hash)


def packed(items: Iterable[object]) -> Batch:
    pickles = [pickle.dumps(item) for item in items]
    column = np.empty(len(pickles), object)
    column[:] = pickles
    return {COLUMN: column}


def unpacked(batch: Batch) -> list[Any]:
    return [pickle.loads(item) for item in batch[COLUMN]]  # noqa: S301 - from our own workers.


@lru_cache(maxsize=1)
def _store(recipe: Recipe) -> ObjectStore:
    """One for each worker process."""
    return recipe.open_store()


def _picklable(error: Exception) -> Exception:
    """`AppError`s as they are; of others what can be said, for their classes may be unknown elsewhere."""
    return error if isinstance(error, AppError) else RuntimeError(f"{type(error).__name__}: {error}")
