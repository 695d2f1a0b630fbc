"""What routes ask of a request before they answer: the caller's view, its content type, and what it has already."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import urlsplit

import orjson
from fastapi import Depends
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.catalog.view import View
from app.errors import IndexNotReady

Model = TypeVar("Model", bound=BaseModel)

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged since the ETag that was sent"}}
"""`responses=` of a route that may answer with `not_modified`."""


async def view_source(request: Request) -> Callable[[], View]:
    return cast(Callable[[], View], request.state.current_view)


ViewSource = Annotated[Callable[[], View], Depends(view_source)]
"""Call it in the route for the view of this request. Raises IndexNotReady, after the request was found valid."""


async def view_if_any(view: ViewSource) -> Callable[[], View | None]:
    def view_or_none() -> View | None:
        try:
            return view()
        except IndexNotReady:
            return None

    return view_or_none


ViewIfAny = Annotated[Callable[[], View | None], Depends(view_if_any)]
"""As `ViewSource`; None before the first publication."""


async def takes_json_or_nothing(request: Request) -> None:
    """A dependency of routes that change something: refuses requests that a page of another site can send.

    A browser lets such a page send JSON only where `CORS_ORIGINS` names the page's origin. Without a body or
    Content-Type it sends the request unasked. So only other clients, and our own pages, may leave both out.
    """
    await takes("application/json", "")(request)
    if "content-type" not in request.headers and _is_from_other_site(request):
        raise HTTPException(415, "A page of another site asks for this. It has to send application/json.")


async def may_change_library(request: Request) -> None:
    """A dependency of routes that add, change or delete pictures: refuses with 403 where `READ_ONLY` says so."""
    if request.app.state.read_only:
        raise HTTPException(403, "This service is read-only (READ_ONLY): pictures come and go by index runs alone.")


async def comes_from_own_pages(request: Request) -> None:
    """A dependency of routes that take a form and change something: as `takes_json_or_nothing`, with 403.

    A browser lets a page of any site send a form without asking us first.
    """
    allowed = request.app.state.cors_origins
    if _is_from_other_site(request) and not {"*", request.headers.get("origin", "").lower()} & allowed:
        raise HTTPException(403, "A page of another site sends this. CORS_ORIGINS has to name its origin.")


async def json_of(request: Request) -> object:
    """What a JSON body holds. Raises RequestValidationError, as FastAPI does."""
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        context = {"error": error.msg}
        raise RequestValidationError(
            [{"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "ctx": context}]
        ) from error


def parsed(model: type[Model], content: object) -> Model:
    """The body of a route that takes several content types. Raises RequestValidationError, as FastAPI does."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from error


def _is_from_other_site(request: Request) -> bool:
    """By Sec-Fetch-Site, which browsers send since 2023; by Origin where they do not. Other clients send neither."""
    relation = request.headers.get("sec-fetch-site")
    if relation is not None:
        return relation not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc not in request.headers.getlist("host")


def takes(*content_types: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses requests of another content type with 415."""

    async def check(request: Request) -> None:
        sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if sent not in content_types:
            said = f"not {sent!r}" if sent else "and say so in Content-Type"
            raise HTTPException(415, f"Send {' or '.join(filter(None, content_types))}, {said}.")

    return check


async def takes_no_parameters(request: Request) -> None:
    """A dependency that refuses a query string with 422, because its parameters would be ignored."""
    advice = "no such parameter; send it in the body" if request.method == "POST" else "no such parameter"
    unknown = [{"type": "extra_forbidden", "loc": ("query", name), "msg": advice} for name in request.query_params]
    if unknown:
        raise RequestValidationError(unknown)


def takes_only(content_type: str) -> Callable[[Request], Awaitable[None]]:
    """`takes` and `takes_no_parameters` in one: FastAPI spends longer on each dependency than these checks take."""
    check_type = takes(content_type)

    async def check(request: Request) -> None:
        await takes_no_parameters(request)
        await check_type(request)

    return check


def not_modified(request: Request, etag: str, headers: Mapping[str, str]) -> Response | None:
    """The 304 for a client that sent this ETag, else None. Weak comparison (RFC 9110, 13.1.2)."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return Response(status_code=304, headers=headers) if etag in known or known == ["*"] else None
