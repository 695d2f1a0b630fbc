"""A collection of made-up pictures in a store, and an indexer over it, for tests that run it in process."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from app.bootstrap import Parts
from app.catalog.catalog import Catalog
from app.catalog.layout import LOCK_KEY
from app.catalog.snapshot import Snapshot
from app.indexing.messages import Report
from app.models.base import Embedder
from app.models.calibration import Calibration
from app.models.lazy import LazyEmbedder
from app.pictures.decoding import ReadPicture
from app.settings import ImageSettings, IndexSettings, ModelSettings, Settings, StorageSettings
from app.storage.base import ObjectInfo, ObjectStore, StoredObject
from app.types import ModelIdentity, Vectors, image_id_of, row_id
from app.vectors.base import VectorServer
from indexer.plan import Options
from indexer.progress import Progress, SilentProgress
from indexer.run import run_index
from tests.support.captions import FakeCaptioner, lazily
from tests.support.catalogs import catalog_on
from tests.support.stores import WrappedStore


def png(seed: int, size: tuple[int, int] = (12, 9)) -> bytes:
    """A picture that no other seed makes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


class CountingEmbedder:
    """Passes everything on to a real embedder and notes the size of each batch of pictures."""

    def __init__(self, inner: Embedder, before_batch: Callable[[], object] = lambda: None) -> None:
        self._inner = inner
        self._before_batch = before_batch
        self.identity: ModelIdentity = inner.identity
        self.notice = inner.notice
        self.batches: list[int] = []

    @property
    def embedded(self) -> int:
        return sum(self.batches)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return self._inner.encode_texts(texts)

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        self._before_batch()
        self.batches.append(len(images))
        return self._inner.encode_images(images)

    @property
    def read_picture(self) -> ReadPicture:
        return self._inner.read_picture


class CountedStop:
    """A stop that the test decides on. Waiting takes no time and is counted, in steps of a tenth of a second."""

    def __init__(self, requested: Callable[[], bool] = lambda: False) -> None:
        self.requested = requested
        self.waited_s = 0.0

    def __call__(self) -> bool:
        return self.requested()

    def wait(self, timeout_s: float) -> bool:
        ends_s = self.waited_s + timeout_s
        while self.waited_s < ends_s and not self():
            self.waited_s += 0.1
        return self()

    def monotonic(self) -> float:
        """Seconds on a clock that goes on while this waits."""
        return time.monotonic() + self.waited_s


class FailingStore(WrappedStore):
    """Can't return some objects: raises what `failures` names for a key, or under None for any key but the lock's."""

    def __init__(self, inner: ObjectStore, failures: dict[str | None, Exception]) -> None:
        super().__init__(inner)
        self.failures = failures

    def get(self, key: str, **options: Any) -> StoredObject:
        error = self.failures.get(key) or (None if key == LOCK_KEY else self.failures.get(None))
        if error:
            raise error
        return self.inner.get(key, **options)


class CallbackStore(WrappedStore):
    """Calls back after the listing has ended, as others act between our listing and our publication."""

    def __init__(self, inner: ObjectStore, after_listing: Callable[[], None]) -> None:
        super().__init__(inner)
        self._after_listing = after_listing

    def list(self, prefix: str = "", **options: Any) -> Iterator[ObjectInfo]:
        yield from self.inner.list(prefix, **options)
        if not prefix:
            self._after_listing()


def some_settings(url: str = "file://unused", *, max_bytes: int = 1 << 20, **index: float) -> Settings:
    return Settings(
        storage=StorageSettings(url=url),
        model=ModelSettings(),
        image=ImageSettings(max_bytes=max_bytes),
        index=IndexSettings(**{"batch_size": 4, "look_ahead": 8, "readers": 3, **index}),  # type: ignore[arg-type]
    )


@dataclass
class Collection:
    """What a user sees: objects go in, runs bring the index along."""

    store: ObjectStore
    embedder: CountingEmbedder
    settings: Settings = field(default_factory=some_settings)
    loaded: int = 0
    """How often the model was loaded."""
    offered: Calibration | None = None
    """What it could have been fitted to, the last time."""
    server: VectorServer | None = None
    """Where the vectors are kept; None for the store."""
    captioner: FakeCaptioner | None = None

    def put(self, key: str, seed: int) -> None:
        self.store.put(key, png(seed))

    def run(
        self,
        options: Options = Options(),  # noqa: B008
        *,
        store: ObjectStore | None = None,
        progress: Progress | None = None,
        stop: "Callable[[], bool] | CountedStop" = lambda: False,
    ) -> Report:
        """One run, from a cold start: counts of batches and loads begin at zero."""
        self.embedder.batches.clear()
        self.loaded = 0
        stop = stop if isinstance(stop, CountedStop) else CountedStop(stop)
        return run_index(self.parts(store), options, progress or SilentProgress(), stop)

    def parts(self, store: ObjectStore | None = None) -> Parts:
        used = store or self.store
        model = LazyEmbedder(
            lambda: self.embedder.identity.fingerprint, self._load, lambda: self.embedder.identity.name
        )
        captioner = lazily(self.captioner) if self.captioner else None
        return Parts(self.settings, used, self.catalog(used), model, used, captioner=captioner)

    def catalog(self, store: ObjectStore | None = None) -> Catalog:
        return catalog_on(store or self.store, self.settings.index, vectors=self.settings.vector, server=self.server)

    def snapshot(self) -> Snapshot:
        snapshot = self.catalog().load()
        assert snapshot is not None
        return snapshot

    def indexed(self) -> set[str]:
        """Keys in the index."""
        return {record.object_key for record in self.snapshot().records.values()}

    def vector(self, key: str) -> Vectors:
        """(D,) as the index holds it."""
        row: Vectors = self.snapshot().vectors.get([row_id(image_id_of(key))])[0]
        return row

    def _load(self, calibration: Calibration | None) -> Embedder:
        self.offered = calibration
        self.loaded += 1
        return self.embedder
