"""The only place that picks concrete classes: settings -> parts -> services.

The service, the command line, the indexer and the workers of Ray all start here.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypedDict

import anyio.to_thread

from app.catalog.bucket_backend import BucketBackend
from app.catalog.catalog import Catalog
from app.catalog.live import LiveCatalog
from app.catalog.server_backend import ServerBackend
from app.catalog.view import View
from app.encoder.encoder import Encoder
from app.encoder.workers import Workers
from app.errors import InvalidSettings
from app.http.addresses import Locator
from app.indexing.follower import IndexFollower, Indexing
from app.indexing.jobs import IndexJobs
from app.library.service import Library
from app.library.thumbnails import Thumbnails
from app.models.base import Embedder
from app.models.calibration import Calibration, sample_calibration
from app.models.checkpoint import find_checkpoint
from app.models.hugging_face import SourceModel
from app.models.lazy import LazyEmbedder
from app.pictures.decoding import Picture
from app.search.service import SearchService
from app.settings import ImageSettings, ModelSettings, Settings, StorageSettings, environment_of
from app.storage.base import ObjectStore
from app.storage.local import LocalStore
from app.vectors.base import VectorServer

STORAGE_THREADS = 16
"""Calls of the object store at the same time; most of the time they wait for the network."""


@dataclass(frozen=True)
class Parts:
    """What the service and the indexer are made of."""

    settings: Settings
    store: ObjectStore
    catalog: Catalog
    model: LazyEmbedder


class State(TypedDict):
    """What the routes get, each feature its own service; `request.state` has these names."""

    current_view: Callable[[], View]
    search: SearchService
    library: Library
    indexing: Indexing


def build(settings: Settings, *, for_batches: bool = False) -> Parts:
    """Make every part; the model is loaded when something needs it. Raises InvalidSettings.

    `for_batches` makes an index run faster and a single picture slower.
    """
    store = open_store(settings.storage)
    model = LazyEmbedder(
        lambda: find_checkpoint(settings.model).fingerprint(),
        lambda calibration: load_embedder(settings.model, calibration, for_batches=for_batches),
    )
    return Parts(settings, store, open_catalog(settings, store), model)


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[State]:
    """The services over these parts, started. At the end each one finishes what it has accepted, then stops.

    Raises ModelUnavailable.
    """
    settings, store = parts.settings, parts.store
    embedder = await anyio.to_thread.run_sync(lambda: parts.model.embedder)
    workers = Workers(os.cpu_count() or 1, settings.batch.max_queue)
    storage_workers = Workers(STORAGE_THREADS, settings.batch.max_queue)
    encoder = Encoder(embedder, settings.batch, settings.image, workers)
    follower = IndexFollower(LiveCatalog(parts.catalog, embedder.identity), settings.index.poll_s)
    jobs = IndexJobs(follower.refresh, environment=environment_of(settings))
    locator = Locator(store, link_expires_s=settings.storage.link_expires_s)
    async with AsyncExitStack() as stack:
        await encoder.start()
        stack.push_async_callback(encoder.stop)
        await follower.start()
        stack.push_async_callback(follower.stop)
        stack.push_async_callback(jobs.stop)
        yield State(
            current_view=follower.view,
            search=SearchService(encoder, locator, workers),
            library=Library(store, locator, Thumbnails(store, settings.image), storage_workers),
            indexing=Indexing(jobs, follower, encoder, settings.vector.store),
        )


def open_store(settings: StorageSettings) -> ObjectStore:
    """The object store that `STORAGE_URL` names. Raises InvalidSettings."""
    scheme = settings.url.partition("://")[0]
    if scheme == "file":
        return LocalStore.from_url(settings.url)
    if scheme == "s3":
        from app.storage.s3 import S3Store  # boto3 takes most of a second to import

        return S3Store(settings)
    raise InvalidSettings(f"STORAGE_URL={settings.url} has no known scheme. Use file://folder or s3://bucket.")


def open_catalog(settings: Settings, store: ObjectStore) -> Catalog:
    """The catalog of the store; its vectors are where `VECTOR_STORE` says. Raises InvalidSettings."""
    server = open_vector_server(settings)
    backend = ServerBackend(store, server) if server else BucketBackend(store, settings.vector)
    return Catalog(store, settings.index, backend)


def open_vector_server(settings: Settings) -> VectorServer | None:
    """The vector server that `VECTOR_STORE` names, not yet connected; None for FAISS. Raises InvalidSettings."""
    match settings.vector.store:
        case "milvus":
            from app.vectors.servers.milvus import MilvusServer  # each server's client is an extra of its own

            return MilvusServer(settings.milvus, settings.vector.recall)
        case "chroma":
            from app.vectors.servers.chroma import ChromaServer

            return ChromaServer(settings.chroma)
        case "faiss":
            return None


def load_embedder(
    settings: ModelSettings, calibration: Calibration | None = None, *, for_batches: bool = False
) -> Embedder:
    """The model that `MODEL` names, ready to encode. Raises ModelUnavailable.

    8-bit arithmetic is fitted to `calibration`, or to the sample pictures where `PRECISION=int8` asks for it.
    """
    from app.models import choose  # OpenVINO takes half a second to import, and storage needs none of it

    if calibration is None and settings.precision == "int8":
        calibration = sample_calibration()
    return choose.load_embedder(settings, calibration, for_batches=for_batches)


def picture_reader(settings: ModelSettings) -> Callable[[bytes, ImageSettings], Picture]:
    """`Embedder.read_picture` of the model that `MODEL` names, without its weights. Picklable.

    Raises ModelUnavailable.
    """
    return SourceModel(find_checkpoint(settings)).prepare.images.read_picture
