"""Parts -> services, and what the routes get of them."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypedDict

from app.bootstrap.parts import DECODERS, Parts
from app.bootstrap.stores import open_provider, open_session_store
from app.catalog.exclusion import exclusion
from app.catalog.live import LiveCatalog
from app.catalog.view import View
from app.encoder.encoder import Encoder
from app.encoder.workers import Workers
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
from app.ingest.web.provider import Remembering
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
from app.models.base import Embedder
from app.models.generator import loading
from app.models.rewriter import loading as rewriters
from app.search.explain.service import Explainer
from app.search.query import Query, Weighted
from app.search.relevance.preparing import Preparing
from app.search.relevance.relevance import Relevance
from app.search.served_names import ServedNames
from app.search.service import SearchService
from app.sessions.answering import Answering
from app.sessions.ports import Asked, Found
from app.sessions.rewriting import Rewriting
from app.sessions.service import Sessions
from app.sessions.uploads import Uploads
from app.settings import environment_of
from app.types import ImageRecord

THUMBNAIL_THREADS = 4
"""Thumbnails that are made at the same time. Each one holds its original in memory while it waits to be decoded."""

CAPTION_READERS = 4
"""Pictures that are read and decoded for the captioner at the same time."""

ATLAS_THREADS = 2
"""Pages of the atlas that are drawn at the same time. The decoders are shared with everything else."""

EXPLAIN_THREADS = 2
"""Pictures that are read or drawn at the same time for heat maps."""

STORAGE_THREADS = 16
"""Calls of the object store at the same time; most of the time they wait for the network."""


class State(TypedDict):
    """What the routes get, each feature its own service; `request.state` has these names."""

    current_view: Callable[[], View]
    search: SearchService
    explainer: Explainer
    sessions: Sessions
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


class Services:
    """What `running` starts, each made once."""

    def __init__(self, parts: Parts, embedder: Embedder) -> None:
        settings = parts.settings
        self._parts, self._settings = parts, settings
        self._pools: list[Workers] = []
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
        self._search = SearchService(
            self.encoder, self._locator, self._workers, self._names, self._relevance,
            settings=settings.search, load_earlier=self._live.earlier,
        )  # fmt: skip
        self.rewriting = self._make_rewriting()
        self.sessions = self._make_sessions()

    def state(self) -> State:
        """What the routes get."""
        settings, store = self._settings, self._parts.store
        library = Library(store, self._locator, self._thumbnails, self._storage, self._threads(THUMBNAIL_THREADS))
        return State(
            current_view=self.follower.view,
            search=self._search,
            explainer=self._make_explainer(),
            sessions=self.sessions,
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

    def close_threads(self) -> None:
        """The last step: nothing runs in the shared threads any more."""
        for pool in self._pools:
            pool.close()

    def _threads(self, count: int) -> Workers:
        self._pools.append(Workers(count, self._settings.batch.max_queue))
        return self._pools[-1]

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

    def _make_explainer(self) -> Explainer:
        parts, threads = self._parts, self._threads(EXPLAIN_THREADS)
        return Explainer(parts.store, self.encoder, parts.decoders, self._settings.image, threads)

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

    def _make_sessions(self) -> Sessions:
        settings = self._settings
        has_captioner = self._parts.captioner is not None
        return Sessions(
            open_session_store(settings.sessions),
            Answering(self._find, self._workers, self.rewriting),
            Uploads(self.encoder, self._workers, settings.image.max_bytes, self._describe if has_captioner else None),
            fingerprint=self.encoder.identity.fingerprint,
            max_uploads=settings.sessions.uploads,
            idle_s=settings.sessions.idle_s,
        )

    def _make_rewriting(self) -> Rewriting | None:
        settings, rewriter = self._settings.rewrite, self._parts.rewriter
        if rewriter is None:
            return None
        return Rewriting(
            rewriter,
            timeout_s=settings.timeout_s,
            idle_s=settings.idle_s,
            max_waiting=settings.max_queue,
            threads=rewriters.calls_at_once(settings),
        )

    async def _find(self, asked: Asked, view: View) -> Found:
        left_out = asked.left_out if self._relevance.is_ready else ()
        terms = tuple(Weighted(term, weight, term in left_out) for term, weight in asked.terms)
        answer = await self._search.search(Query(terms, asked.k, folders=asked.folders), view)
        return Found(answer.hits, answer.generation, answer.took_ms, answer.good_match, answer.note)

    async def _describe(self, data: bytes) -> str | None:
        said = await self.captioning.describe_new(data)
        return said.text if said else None

    async def _add_generated(self, picture: GeneratedPicture) -> ImageRecord:
        new = NewPicture(picture.data, picture.name, picture.folder, caption=picture.caption, tags=picture.tags)
        return (await self.adding.add(new)).record
