"""What routes ask of a request before they answer: the caller's view, its content type, and what it has already."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

from fastapi import Depends
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.catalog.view import View

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged since the ETag that was sent"}}
"""`responses=` of a route that may answer with `not_modified`."""


async def view_source(request: Request) -> Callable[[], View]:
    return cast(Callable[[], View], request.state.current_view)


ViewSource = Annotated[Callable[[], View], Depends(view_source)]
"""Call it in the route for the view of this request. Raises IndexNotReady, after the request was found valid."""


async def takes_json_or_nothing(request: Request) -> None:
    """A dependency of routes that change something: refuses requests that a page of another site can send.

    A browser lets such a page send JSON only where `CORS_ORIGINS` names the page's origin. Without a body or
    Content-Type it sends the request unasked. So only other clients, and our own pages, may leave both out.
    """
    await takes("application/json", "")(request)
    if "content-type" not in request.headers and _is_from_other_site(request):
        raise HTTPException(415, "A page of another site asks for this. It has to send application/json.")


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


def not_modified(request: Request, etag: str, headers: Mapping[str, str]) -> Response | None:
    """The 304 for a client that sent this ETag, else None. Weak comparison (RFC 9110, 13.1.2)."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return Response(status_code=304, headers=headers) if etag in known or known == ["*"] else None
