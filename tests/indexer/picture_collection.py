"""A collection of made-up pictures in a store, and an indexer over it, for tests that run it in process."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from app.catalog.catalog import Catalog
from app.catalog.changes import Snapshot
from app.models.base import Embedder
from app.models.calibration import Calibration
from app.pictures.decoding import Picture
from app.settings import ImageSettings, IndexSettings, ModelSettings, Settings, StorageSettings
from app.storage.base import ObjectStore
from app.types import ModelIdentity, Vectors, image_id_of, row_id
from app.vectors.base import VectorServer
from indexer.executor import Model, Parts
from indexer.progress import Progress, SilentProgress
from indexer.report import Report
from indexer.run import Options, run_index


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

    def read(self, data: bytes, limits: ImageSettings) -> Picture:
        return self._inner.read(data, limits)


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

    def put(self, key: str, seed: int) -> None:
        self.store.put(key, png(seed))

    def run(
        self,
        options: Options = Options(),  # noqa: B008
        *,
        store: ObjectStore | None = None,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Report:
        """One run, from a cold start: counts of batches and loads begin at zero."""
        self.embedder.batches.clear()
        self.loaded = 0
        return run_index(self.parts(store), options, progress or SilentProgress(), stop)

    def parts(self, store: ObjectStore | None = None) -> Parts:
        used = store or self.store
        model = Model(lambda: self.embedder.identity.fingerprint, self._load)
        return Parts(self.settings, used, self.catalog(used), model)

    def catalog(self, store: ObjectStore | None = None) -> Catalog:
        return Catalog(store or self.store, self.settings.index, vectors=self.settings.vector, server=self.server)

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
