"""The only place that picks concrete classes: settings -> parts -> services.

The service, the command line, the indexer and the workers of Ray all start here.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict

import anyio.to_thread

from app.catalog.bucket_backend import BucketBackend
from app.catalog.catalog import Catalog, check_model
from app.catalog.exclusion import exclusion
from app.catalog.live import NOTHING_YET, LiveCatalog
from app.catalog.server_backend import ServerBackend
from app.catalog.view import View
from app.encoder.encoder import Encoder
from app.encoder.workers import Workers
from app.errors import IndexNotReady, InvalidSettings
from app.generation.blocklist import load_blocklist, no_screen
from app.generation.device import Device
from app.generation.intake import FirstPictures, Intake, Model
from app.generation.ledger import Ledger
from app.generation.saving import GeneratedPicture
from app.generation.service import Generations
from app.http.addresses import Locator
from app.indexing.follower import IndexFollower, Indexing
from app.indexing.jobs import IndexJobs
from app.ingest.fetching import Fetcher
from app.ingest.web.provider import Provider, Remembering
from app.library.atlas.service import Atlas
from app.library.duplicates.dismissals import Dismissals
from app.library.duplicates.service import Duplicates
from app.library.editing.adding import Adding, NewPicture
from app.library.editing.captioning import Captioning
from app.library.editing.curating import Curating
from app.library.editing.deleting import Deleting
from app.library.editing.edits import Edits
from app.library.export.service import Exporter
from app.library.imports.service import Imports
from app.library.listing.service import Listing
from app.library.map.cartography import Cartographer
from app.library.map.service import LibraryMap
from app.library.map.store import MapStore
from app.library.service import Library
from app.library.thumbnails import Thumbnails
from app.models import extra
from app.models.bank import Bank, find_bank, load_bank
from app.models.base import Embedder
from app.models.calibration import Calibration, sample_calibration
from app.models.captioner.lazy import LazyCaptioner
from app.models.checkpoint import find_checkpoint
from app.models.generator import loading
from app.models.hugging_face import SourceModel
from app.models.lazy import LazyEmbedder
from app.pictures.decoding import ReadPicture
from app.pictures.processes import DecoderProcesses, Decoders, InThisProcess
from app.search.relevance.preparing import Preparing
from app.search.relevance.relevance import Relevance
from app.search.served_names import ServedNames
from app.search.service import SearchService
from app.settings import ModelSettings, Settings, StorageSettings, WebSettings, environment_of
from app.storage.base import ObjectStore
from app.storage.local import STATE_FOLDER, LocalStore
from app.storage.urls import folder_of_url, scheme_of
from app.types import ImageRecord, hash_content
from app.vectors.base import VectorServer

DECODERS = min(os.cpu_count() or 1, 8)
"""Pictures that are decoded at the same time, each in a process of its own."""

THUMBNAIL_THREADS = 4
"""Thumbnails that are made at the same time. Each one holds its original in memory while it waits to be decoded."""

CAPTION_READERS = 4
"""Pictures that are read and decoded for the captioner at the same time."""

ATLAS_THREADS = 2
"""Pages of the atlas that are drawn at the same time. The decoders are shared with everything else."""

WORTH_A_BANK = 256
"""An index run with fewer new pictures does not embed the bank. The service does it, and measures those it finds."""

STORAGE_THREADS = 16
"""Calls of the object store at the same time; most of the time they wait for the network."""


@dataclass(frozen=True)
class Parts:
    """What the service and the indexer are made of."""

    settings: Settings
    store: ObjectStore
    """Has the pictures."""
    catalog: Catalog
    model: LazyEmbedder
    index_store: ObjectStore
    """Has the index and the thumbnails. It is the pictures' own store unless `INDEX_URL` names another."""
    decoders: Decoders = InThisProcess()  # noqa: RUF009 - has no state
    """Decode picture files."""
    captioner: LazyCaptioner | None = None
    """None where `CAPTION_MODEL` names no model."""


class State(TypedDict):
    """What the routes get, each feature its own service; `request.state` has these names."""

    current_view: Callable[[], View]
    search: SearchService
    library: Library
    listing: Listing
    exporter: Exporter
    adding: Adding
    curating: Curating
    captioning: Captioning
    deleting: Deleting
    duplicates: Duplicates
    map: LibraryMap
    atlas: Atlas
    imports: Imports
    indexing: Indexing
    fetcher: Fetcher
    generations: Generations
    begin_stop: Callable[[], None]
    """Called when the service is told to stop, while requests are still answered."""


def build(settings: Settings, *, for_batches: bool = False) -> Parts:
    """Make every part; the model is loaded when something needs it.

    `for_batches` makes an index run faster and a single picture slower. Raises InvalidSettings, and ModelUnavailable
    when the model needs packages that are not installed.
    """
    extra.check_installed(settings.model)
    captioner = make_captioner(settings)
    store = open_store(settings.storage, etag_cache=etag_cache_of(settings))
    index_store = open_index_store(settings, store)
    checkpoint = cache(lambda: find_checkpoint(settings.model))
    model = LazyEmbedder(
        lambda: checkpoint().fingerprint(),
        lambda calibration: load_embedder(settings.model, calibration, for_batches=for_batches),
        lambda: checkpoint().name,
    )
    decoders = DecoderProcesses(DECODERS, settings.image.max_memory_bytes)
    return Parts(settings, store, open_catalog(settings, index_store), model, index_store, decoders, captioner)


class Services:
    """What `running` starts, each made once."""

    def __init__(self, parts: Parts, embedder: Embedder) -> None:
        settings = parts.settings
        self._parts, self._settings = parts, settings
        self._workers = self._threads(os.cpu_count() or 1)
        self._storage = self._threads(STORAGE_THREADS)
        self._names = ServedNames()
        self._relevance = Relevance(is_wanted=settings.search.relevance)
        self.encoder = Encoder(
            embedder,
            settings.batch,
            settings.image,
            self._workers,
            decoding=self._threads(DECODERS),
            decoders=parts.decoders,
        )
        self._live = LiveCatalog(parts.catalog, embedder.identity, self._prepare)
        self.follower = IndexFollower(self._live, settings.index.poll_s)
        self.jobs = IndexJobs(self.follower.refresh, environment=environment_of(settings))
        cache_folder = settings.model.cache.expanduser()
        self.preparing = Preparing(self._relevance, self.encoder, self._workers, cache_folder, lambda: self._live.view)
        self.edits = Edits(self._live.publish, settings.batch.max_queue)
        self._locator = Locator(parts.store, link_expires_s=settings.storage.link_expires_s)
        self._thumbnails = Thumbnails(parts.store, settings.image, parts.index_store, parts.decoders)
        self.atlas = self._make_atlas()
        self.captioning = self._make_captioning()
        self.adding = self._make_adding()
        self.imports = self._make_imports()
        self.deleting = self._make_deleting()
        self.duplicates = self._make_duplicates()
        self.map = self._make_map()
        self.generations = self._make_generations()

    def state(self) -> State:
        """What the routes get."""
        settings, store = self._settings, self._parts.store
        library = Library(store, self._locator, self._thumbnails, self._storage, self._threads(THUMBNAIL_THREADS))
        return State(
            current_view=self.follower.view,
            search=SearchService(self.encoder, self._locator, self._workers, self._names, self._relevance),
            library=library,
            listing=Listing(self._locator, self._workers),
            exporter=Exporter(store, self._workers),
            adding=self.adding,
            curating=Curating(self.edits),
            captioning=self.captioning,
            deleting=self.deleting,
            duplicates=self.duplicates,
            map=self.map,
            atlas=self.atlas,
            indexing=Indexing(
                self.jobs, self.follower, self.encoder, settings.vector.store, can_caption=bool(self._parts.captioner)
            ),
            imports=self.imports,
            fetcher=self._make_fetcher(),
            generations=self.generations,
            begin_stop=self._begin_stop,
        )

    def _prepare(self, view: View) -> None:
        """What searches of a new state need, before it is served."""
        self._names.prepare(view)
        self._relevance.prepare(view)

    def _begin_stop(self) -> None:
        self.imports.begin_stop()
        self.generations.begin_stop()

    def _threads(self, count: int) -> Workers:
        return Workers(count, self._settings.batch.max_queue)

    def _make_fetcher(self) -> Fetcher:
        return Fetcher(self._settings.fetch, self._settings.image.max_bytes)

    def _make_atlas(self) -> Atlas:
        parts = self._parts
        return Atlas(
            parts.index_store,
            self._thumbnails,
            parts.decoders,
            self._settings.image,
            workers=self._storage,
            drawing=self._threads(ATLAS_THREADS),
        )

    def _make_adding(self) -> Adding:
        settings = self._settings
        return Adding(
            self._parts.store,
            self.encoder,
            self.edits,
            workers=self._storage,
            max_bytes=settings.image.max_bytes,
            keep_location=settings.metadata.gps,
            current_view=lambda: self._live.view,
            is_excluded=exclusion(settings.storage.exclude),
            captioning=self.captioning,
            measured=self._relevance.measured,
        )

    def _make_captioning(self) -> Captioning:
        parts, settings = self._parts, self._settings
        return Captioning(
            parts.captioner,
            parts.store,
            self.edits,
            decoders=parts.decoders,
            limits=settings.image,
            batch_size=settings.caption.batch_size,
            max_waiting=settings.batch.max_queue,
            workers=self._threads(CAPTION_READERS),
        )

    def _make_imports(self) -> Imports:
        settings = self._settings
        return Imports(
            self.adding,
            self._make_fetcher(),  # its own: no other request waits behind an import
            cache(lambda name: Remembering(open_provider(name, settings.web))),
            settings.imports,
            workers=self._storage,
            max_bytes=settings.image.max_bytes,
            offered=settings.web.providers.split(","),
        )

    def _make_deleting(self) -> Deleting:
        return Deleting(
            self._parts.store,
            self._thumbnails,
            self.atlas,
            self.edits,
            encoder=self.encoder,
            workers=self._storage,
            settings=self._settings.delete,
        )

    def _make_duplicates(self) -> Duplicates:
        dismissals = Dismissals(self._parts.index_store)
        return Duplicates(dismissals, self._locator, self._storage, self._settings.duplicates.burst_s)

    def _make_map(self) -> LibraryMap:
        store = MapStore(self._parts.index_store)
        return LibraryMap(Cartographer(store, self.follower.view), store, self.encoder, self._threads(1))

    def _make_generations(self) -> Generations:
        settings, parts = self._settings.generation, self._parts
        intake = Intake(
            settings,
            Model(lambda: loading.check_installed(settings), lambda: loading.read_abilities(settings)),
            FirstPictures(parts.store, parts.decoders, self._settings.image),
            screen=load_blocklist(Path(settings.blocklist).expanduser()) if settings.blocklist else no_screen,
            check_folder=self.adding.check_folder,
            workers=self._threads(2),
        )
        return Generations(
            settings,
            intake,
            Ledger(parts.index_store),
            Device(environment_of(self._settings)),
            add_to_library=self._add_generated,
            check_folder=self.adding.check_folder,
            workers=self._storage,
        )

    async def _add_generated(self, picture: GeneratedPicture) -> ImageRecord:
        new = NewPicture(picture.data, picture.name, picture.folder, caption=picture.caption, tags=picture.tags)
        return (await self.adding.add(new)).record


@asynccontextmanager
async def running(parts: Parts, *, warm_up: bool = False) -> AsyncIterator[State]:
    """The services over these parts, started. At the end each one finishes what it has accepted, then stops.

    `warm_up` is for a service that stays: see `Encoder.start`, and `Preparing`. Raises ModelUnavailable.
    """
    services = Services(parts, await anyio.to_thread.run_sync(lambda: parts.model.embedder))
    async with AsyncExitStack() as stack:
        await services.encoder.start(warm_up=warm_up)
        stack.push_async_callback(services.encoder.stop)
        await services.follower.start()
        stack.push_async_callback(services.follower.stop)
        if warm_up and parts.settings.search.relevance:
            services.preparing.start()
        stack.push_async_callback(services.preparing.stop)
        stack.push_async_callback(services.jobs.stop)
        stack.push_async_callback(services.edits.stop)
        stack.push_async_callback(services.captioning.stop)
        await services.deleting.start()
        stack.push_async_callback(services.deleting.stop)
        stack.push_async_callback(services.duplicates.stop)
        stack.push_async_callback(services.map.stop)
        stack.push_async_callback(services.atlas.stop)
        stack.push_async_callback(services.imports.stop)
        await services.generations.run()
        stack.push_async_callback(services.generations.stop)
        stack.callback(parts.decoders.close)
        yield services.state()


def check_index(parts: Parts) -> None:
    """Raise IndexNotReady without an index, and IndexMismatch when another model has made it.

    Loads no model: converting one takes a minute. Raises IndexCorrupt, StorageUnavailable, ModelUnavailable.
    """
    pointer = parts.catalog.pointer()
    if pointer is None:
        raise IndexNotReady(NOTHING_YET)
    check_model(pointer, parts.model)


def open_store(
    settings: StorageSettings, *, etag_cache: Path | None = None, setting: str = "STORAGE_URL"
) -> ObjectStore:
    """The object store at `settings.url`, which messages call `setting`. Raises InvalidSettings.

    `etag_cache` is the file for the etags of a folder that may be read-only; by default it lies in the folder itself.
    """
    scheme = scheme_of(settings.url)
    if scheme == "file":
        return LocalStore.from_url(settings.url, etag_cache=etag_cache, setting=setting)
    if scheme == "s3":
        from app.storage.s3 import S3Store  # boto3 takes most of a second to import

        return S3Store(settings)
    raise InvalidSettings(f"{setting}={settings.url} has no known scheme. Use a path, file://folder or s3://bucket.")


def open_index_store(settings: Settings, store: ObjectStore) -> ObjectStore:
    """Where index and thumbnails are kept: as `INDEX_URL` says, else in `store`. Raises InvalidSettings."""
    if not settings.index.url:
        return store
    return open_store(settings.storage.model_copy(update={"url": settings.index.url}), setting="INDEX_URL")


def etag_cache_of(settings: Settings) -> Path | None:
    """The file for the etags of a folder that stays read-only: beside its index, or with the models' files.

    None where the index lies with the pictures. Raises InvalidSettings.
    """
    if not settings.index.url:
        return None
    name = f"etags-{hash_content(settings.storage.url.encode())[:16]}.sqlite3"
    if scheme_of(settings.index.url) == "file":
        return folder_of_url(settings.index.url, "INDEX_URL") / STATE_FOLDER / name
    return settings.model.cache.expanduser() / name


def open_catalog(settings: Settings, store: ObjectStore) -> Catalog:
    """The catalog of the store that has the index; vectors are where `VECTOR_STORE` says. Raises InvalidSettings."""
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


def open_provider(name: str, settings: WebSettings) -> Provider:
    """The web search of this name. `WEB_PROVIDERS` says which ones clients of the service may use."""
    if name == "ddgs":
        from app.ingest.web.ddgs_search import Ddgs  # an extra

        return Ddgs()
    from app.ingest.web.openverse import Openverse  # httpx2 takes a tenth of a second to import

    return Openverse(settings)


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


def make_captioner(settings: Settings) -> LazyCaptioner | None:
    """The captioner that `CAPTION_MODEL` names, not yet loaded; None where it names none. Raises ModelUnavailable."""
    wanted, cache_folder = settings.caption, settings.model.cache.expanduser()
    if not wanted.model:
        return None
    from app.models.captioner import loading as captioners
    from app.models.captioner.source import find_captioner

    captioners.check_installed(wanted, cache_folder)
    return LazyCaptioner(
        lambda: find_captioner(wanted).name,
        lambda: captioners.find_resize(wanted, cache_folder),
        lambda: captioners.load_captioner(wanted, cache_folder),
    )


def open_bank(parts: Parts, pictures: int) -> Bank | None:
    """The bank of texts, for this number of new pictures; None if relevance is off, or if it is not worth its time.

    It is taken from MODEL_CACHE, or embedded for `WORTH_A_BANK` pictures where this process has the model.
    """
    if not parts.settings.search.relevance or not pictures:
        return None
    cache_folder = parts.settings.model.cache.expanduser()
    if found := find_bank(cache_folder, parts.model.fingerprint):
        return found
    is_worth_it = pictures >= WORTH_A_BANK and parts.model.is_loaded
    return load_bank(cache_folder, parts.model.embedder) if is_worth_it else None


def can_fit_int8(settings: ModelSettings, fingerprint: str) -> bool:
    """As `choose.can_fit_int8`."""
    from app.models import choose

    return choose.can_fit_int8(settings, fingerprint)


def fit_int8(settings: ModelSettings, calibration: Calibration, *, go_on: Callable[[], bool], max_s: float) -> None:
    """As `choose.fit_int8`. Raises ModelUnavailable."""
    from app.models import choose

    choose.fit_int8(settings, calibration, go_on=go_on, max_s=max_s)


def picture_reader(settings: ModelSettings) -> ReadPicture:
    """`Embedder.read_picture` of the model that `MODEL` names, without its weights. Picklable.

    Raises ModelUnavailable.
    """
    from app.models.openvino.conversion import Converter  # OpenVINO takes half a second to import

    checkpoint = find_checkpoint(settings)
    converter = Converter(checkpoint, SourceModel(checkpoint))
    return converter.find_preparer(settings.cache.expanduser()).images.read_picture
