"""`/` and the other addresses of the web app. Each answers the same page, whose script shows what the address names."""

import html
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import NotInstalled
from app.web.built import INDEX, BuiltFile, built_app, built_file

PAGES: Final = (
    *("/", "/pictures/{image_id}", "/library", "/library/add", "/library/duplicates", "/library/index"),
    *("/map", "/generate"),
)
"""As the router of `web/src/app/shell.tsx` has them."""

_BASE: Final = b'<base href="/" />'

POLICY: Final = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:"),
        *("connect-src 'self'", "worker-src 'self'", "base-uri 'self'", "form-action 'self'"),
        "frame-ancestors 'none'",
    )
)
"""Nothing of another origin, and no script in the page itself."""

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}
_ASK_AGAIN: Final = "no-cache"
_FOR_GOOD: Final = "public, max-age=31536000, immutable"


def web_router(files: Mapping[str, BuiltFile] | None = None) -> APIRouter:
    """Serves these files; without them, those that `make web` has built."""
    built = built_app() if files is None else files
    router = APIRouter(include_in_schema=False)

    @lru_cache(maxsize=16)
    def page_below(prefix: str) -> BuiltFile:
        base = f'<base href="{html.escape(prefix)}/" />'.encode()
        return built_file(INDEX, built[INDEX].content.replace(_BASE, base))

    async def page(request: Request) -> Response:
        if INDEX not in built:
            raise NotInstalled("The web app is not built here. Run `make web`, then start the service again.")
        return _answer(request, page_below(request.scope["root_path"].rstrip("/")), _ASK_AGAIN)

    def serve(name: str, caching: str) -> None:
        async def file(request: Request) -> Response:
            return _answer(request, built[name], caching)

        router.add_api_route(f"/{name}", file, methods=["GET", "HEAD"])

    for name in built:
        if name != INDEX:
            serve(name, _FOR_GOOD if name.startswith("assets/") else _ASK_AGAIN)
    for path in PAGES:
        router.add_api_route(path, page, methods=["GET", "HEAD"])
    return router


def _answer(request: Request, file: BuiltFile, caching: str) -> Response:
    headers = {**_HEADERS, "ETag": file.etag, "Cache-Control": caching}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    content = file.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = file.gzipped
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=file.media_type, headers=headers)
