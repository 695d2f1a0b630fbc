"""The service: `create_app(settings)` puts routes, middleware and error answers together; its lifespan makes the parts.

`uvicorn app.main:create_app --factory` runs it with the settings of the environment.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware
from starlette.types import Lifespan

from app.bootstrap import Components, build
from app.catalog.live import LiveCatalog
from app.compat import image_search_v2
from app.encoder.batching import MicroBatcher
from app.encoder.workers import Workers
from app.http.middleware.access_log import AccessLogMiddleware
from app.http.middleware.body_limit import BodyLimitMiddleware
from app.http.middleware.request_id import RequestIdFilter, RequestIdMiddleware
from app.http.middleware.unexpected import UnexpectedErrorMiddleware
from app.http.openapi import describe
from app.http.problems import add_error_handlers, answer_unexpected
from app.http.requests import Services
from app.indexing import health
from app.indexing import routes as index
from app.indexing.follower import IndexFollower
from app.indexing.jobs import IndexJobs
from app.library import routes as library
from app.library.service import Library
from app.library.thumbnails import Thumbnails
from app.search import routes as search
from app.search.service import SearchService
from app.settings import Settings, environment_of, load_settings

log = logging.getLogger(__name__)

API_PREFIX = "/api/v1"

FORM_OVERHEAD_BYTES = 64 << 10
"""Boundaries, headers and text fields around an uploaded picture."""

MAX_JSON_BYTES = 1 << 20

STORAGE_THREADS = 16
"""Calls of the object store at a time; they wait for the network most of it."""

DESCRIPTION = "Find pictures in your own object storage by describing them, by showing one, or both."


def create_app(settings: Settings | None = None, components: Components | None = None) -> FastAPI:
    """The ASGI app. `components` are made at start-up from `settings` unless they are given.

    Raises InvalidSettings; start-up raises ModelUnavailable.
    """
    if settings is None:
        settings = components.settings if components else load_settings()
    configure_logging(settings.server.log_level)
    app = FastAPIOffline(  # whose /docs needs nothing from the internet
        title="image2search",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=_lifespan(settings, components),
        middleware=_middleware(settings),
        redoc_url=None,
    )
    for routes in (search, library, index):
        app.include_router(routes.router, prefix=API_PREFIX)
    app.include_router(health.router)
    app.include_router(image_search_v2.router)
    add_error_handlers(app)
    describe(app)
    return app


def configure_logging(level: str) -> None:
    """Our loggers at `level`, with the request's id in each line; uvicorn's access log gives way to ours."""
    handler = logging.StreamHandler()
    handler.addFilter(RequestIdFilter())
    form = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"
    logging.basicConfig(level=logging.WARNING, format=form, handlers=[handler])
    logging.getLogger("app").setLevel(level.upper())
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a client's broken form is told to the client


def _middleware(settings: Settings) -> list[Middleware]:
    max_form_bytes = settings.image.max_bytes + FORM_OVERHEAD_BYTES

    def limit_for(content_type: str) -> int:
        return max_form_bytes if content_type.lower().startswith("multipart/") else MAX_JSON_BYTES

    return [
        Middleware(RequestIdMiddleware),
        Middleware(AccessLogMiddleware),
        Middleware(UnexpectedErrorMiddleware, answer=answer_unexpected),
        Middleware(BodyLimitMiddleware, limit_for=limit_for),
    ]


def _lifespan(settings: Settings, components: Components | None) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        parts = components if components else await anyio.to_thread.run_sync(build, settings)
        async with running(parts) as services:
            app.state.services = services
            yield

    return lifespan


@asynccontextmanager
async def running(parts: Components) -> AsyncIterator[Services]:
    """The services over these parts, started; stopped in the opposite order, each after what it has accepted."""
    settings, store = parts.settings, parts.store
    if parts.embedder.notice:
        log.warning("%s: %s", parts.embedder.identity.name, parts.embedder.notice)
    live = LiveCatalog(parts.catalog, parts.embedder.identity)
    follower = IndexFollower(live, settings.index.poll_s)
    batcher = MicroBatcher(parts.embedder, settings.batch)
    jobs = IndexJobs(follower.refresh, environment=environment_of(settings))
    workers = Workers(os.cpu_count() or 1, settings.batch.max_queue)
    storage_workers = Workers(STORAGE_THREADS, settings.batch.max_queue)
    expires_s = settings.storage.link_expires_s
    search = SearchService(
        live, batcher, store, workers, settings.image, link_expires_s=expires_s, read=parts.embedder.read
    )
    async with AsyncExitStack() as stack:
        await batcher.start()
        stack.push_async_callback(batcher.stop)
        await follower.start()
        stack.push_async_callback(follower.stop)
        stack.push_async_callback(jobs.stop)
        await workers.run(search.prepare)
        yield Services(
            search=search,
            library=Library(live, store, Thumbnails(store, settings.image), storage_workers, link_expires_s=expires_s),
            jobs=jobs,
            live=live,
            model=parts.embedder.identity,
            notice=parts.embedder.notice,
            vector_engine=settings.vector.store,
            text_cache=batcher.text_cache,
        )
