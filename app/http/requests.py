"""What routes get: the services that the lifespan made, and checks that come before the body is looked at."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from app.catalog.live import LiveCatalog
from app.encoder.text_cache import TextCache
from app.indexing.jobs import IndexJobs
from app.library.service import Library
from app.search.service import SearchService
from app.types import ModelIdentity


@dataclass(frozen=True, slots=True)
class Services:
    """All that the routes use, made once at start-up."""

    search: SearchService
    library: Library
    jobs: IndexJobs
    live: LiveCatalog
    model: ModelIdentity
    notice: str | None
    vector_engine: str
    text_cache: TextCache


async def get_services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(get_services)]


def takes(*content_types: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses requests of another content type with 415."""

    async def check(request: Request) -> None:
        sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if sent not in content_types:
            said = f"not {sent!r}" if sent else "and say so in Content-Type"
            raise HTTPException(415, f"Send {' or '.join(filter(None, content_types))}, {said}.")

    return check


async def takes_no_parameters(request: Request) -> None:
    """A dependency that refuses a query string with 422, because what it asks for would be ignored."""
    advice = "no such parameter; send it in the body" if request.method == "POST" else "no such parameter"
    unknown = [{"type": "extra_forbidden", "loc": ("query", name), "msg": advice} for name in request.query_params]
    if unknown:
        raise RequestValidationError(unknown)
