"""The service: `create_app(settings)` mounts the features; its lifespan makes and starts what they need.

`uvicorn app.main:create_app --factory --no-proxy-headers` runs it with the settings of the environment.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import Lifespan

from app.bootstrap import Parts, State, build, running
from app.compat import flask_clip, image_backend, image_search_v2, openai
from app.generation import routes as generation
from app.http.middleware import middleware
from app.http.middleware.access_log import configure_logging
from app.http.openapi import describe
from app.http.problems import add_error_handlers
from app.indexing import health
from app.indexing import routes as indexing
from app.library import routes as library
from app.library.atlas import routes as atlas
from app.library.duplicates import routes as duplicates
from app.library.editing import routes as library_editing
from app.library.export import routes as export
from app.library.imports import routes as imports
from app.library.listing import routes as listing
from app.library.map import routes as map_routes
from app.search import batch_routes, composed_schemas
from app.search import routes as search
from app.search.explain import routes as explain
from app.sessions import routes as sessions
from app.settings import Settings, load_settings
from app.web.routes import web_router

log = logging.getLogger(__name__)

API_PREFIX = "/api/v1"

COMPAT_ROUTERS = {
    "flask_clip": flask_clip.router,
    "image_backend": image_backend.router,
    "image_search_v2": image_search_v2.router,
    "openai": openai.router,
}
"""By the names in the setting `COMPAT`."""

DESCRIPTION = "Find pictures in your own object storage by describing them, by showing one, or both."


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> FastAPI:
    """The ASGI app. `parts` are built at start-up from `settings`, unless they are given.

    Raises InvalidSettings; start-up raises ModelUnavailable.
    """
    if settings is None:
        settings = parts.settings if parts else load_settings()
    configure_logging(settings.server.log_level)
    app = FastAPIOffline(  # whose /docs needs nothing from the internet
        title="image2search",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=_lifespan(settings, parts),
        middleware=middleware(
            settings.image,
            settings.server,
            max_form_bytes={f"{API_PREFIX}/images/import": settings.imports.max_bytes},
            max_json_bytes={
                f"{API_PREFIX}/search": composed_schemas.max_body_bytes(settings.image),
                f"{API_PREFIX}/search/matches": composed_schemas.max_body_bytes(settings.image),
                f"{API_PREFIX}/search/batch": composed_schemas.max_body_bytes(settings.image),
                f"{openai.PREFIX}{openai.EMBEDDINGS}": openai.max_body_bytes(settings.image),
            },
        ),
        redoc_url=None,
    )
    app.include_router(search.router, prefix=API_PREFIX)
    app.include_router(batch_routes.router, prefix=API_PREFIX)
    app.include_router(explain.router, prefix=API_PREFIX)
    app.include_router(sessions.router, prefix=API_PREFIX)
    app.include_router(imports.router, prefix=API_PREFIX)
    app.include_router(library_editing.router, prefix=API_PREFIX)
    app.include_router(library.router, prefix=API_PREFIX)
    app.include_router(listing.router, prefix=API_PREFIX)
    app.include_router(export.router, prefix=API_PREFIX)
    app.include_router(duplicates.router, prefix=API_PREFIX)
    app.include_router(map_routes.router, prefix=API_PREFIX)
    app.include_router(atlas.router, prefix=API_PREFIX)
    app.include_router(indexing.router, prefix=API_PREFIX)
    app.include_router(generation.router, prefix=API_PREFIX)
    app.include_router(health.router)
    for name, router in COMPAT_ROUTERS.items():
        if settings.server.answers_as(name):
            app.include_router(router)
    if settings.server.web_app:
        app.include_router(web_router())
    app.state.read_only = settings.server.read_only
    app.state.cors_origins = frozenset(filter(None, settings.server.cors_origins.split(",")))
    add_error_handlers(app)
    describe(app)
    return app


def _lifespan(settings: Settings, parts: Parts | None) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        async with running(parts or build(settings), warm_up=True) as state:
            encoder = state["indexing"].encoder
            if encoder.notice:
                log.warning("%s: %s", encoder.identity.name, encoder.notice)
            yield state

    return lifespan
