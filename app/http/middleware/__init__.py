"""What every request passes through, from the outside in."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from asgi_correlation_id import CorrelationIdMiddleware
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Scope

from app.http.middleware.access_log import AccessLogMiddleware
from app.http.middleware.allowed_hosts import AllowedHostsMiddleware
from app.http.middleware.body_limit import BodyLimitMiddleware
from app.http.middleware.public_address import ForwardedMiddleware, PublicUrlMiddleware
from app.http.middleware.unexpected import UnexpectedErrorMiddleware
from app.http.problems import answer_unexpected
from app.settings import ImageSettings, ServerSettings

FORM_OVERHEAD_BYTES = 64 << 10
"""Boundaries, headers and text fields around an uploaded picture."""

MAX_JSON_BYTES = 1 << 20

COMPRESSED_FROM_BYTES = 1 << 10

COMPRESSION_LEVEL = 1
"""Of 1 to 9. Answers get 9 % larger than with 9, in a quarter of its time."""

NOT_COMPRESSED = (
    *("image/*", "application/octet-stream", "text/*"),
    *("application/zip", "application/vnd.apache.parquet", "application/x-npy"),
)
"""Pictures are compressed already. With the files of `/docs`, they have ETags, which name the bytes as they are.
Vectors get hardly smaller."""

_SAFE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""Request ids that are taken from the caller; any other is replaced, since it ends up in the log."""


def middleware(
    images: ImageSettings,
    server: ServerSettings,
    *,
    max_form_bytes: Mapping[str, int] = MappingProxyType({}),
    max_json_bytes: Mapping[str, int] = MappingProxyType({}),
) -> list[Middleware]:
    """Request id, access log, public address, CORS, answers to bugs, allowed hosts, limits of the body, compression.

    `max_form_bytes`: for paths whose forms may be larger than one picture. `max_json_bytes`: for paths whose other
    bodies may be larger than usual.
    """
    usual_form_bytes = images.max_bytes + FORM_OVERHEAD_BYTES

    def limit_for(scope: Scope) -> int:
        path = scope["path"].removeprefix(scope["root_path"])
        if Headers(scope=scope).get("content-type", "").lower().startswith("multipart/"):
            return max_form_bytes.get(path, usual_form_bytes)
        return max_json_bytes.get(path, MAX_JSON_BYTES)

    return [
        Middleware(CorrelationIdMiddleware, validator=lambda offered: bool(_SAFE_ID.fullmatch(offered))),
        Middleware(AccessLogMiddleware),
        _public_address(server),
        *_other_origins(server),
        Middleware(UnexpectedErrorMiddleware, answer=answer_unexpected),
        Middleware(AllowedHostsMiddleware, names=server.names),
        Middleware(BodyLimitMiddleware, limit_for=limit_for),
        Middleware(
            GZipMiddleware,
            minimum_size=COMPRESSED_FROM_BYTES,
            compresslevel=COMPRESSION_LEVEL,
            exclude_content_types=NOT_COMPRESSED,
        ),
    ]


def _public_address(server: ServerSettings) -> Middleware:
    if server.public_url:
        return Middleware(PublicUrlMiddleware, server.public_url)
    return Middleware(ForwardedMiddleware, server.forwarded_allow_ips)


def _other_origins(server: ServerSettings) -> list[Middleware]:
    """CORS, where the settings name origins."""
    if not server.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=server.cors_origins.split(","),
            allow_methods=("GET", "HEAD", "POST", "PATCH", "DELETE"),
            allow_headers=("If-None-Match", "If-Range", "Range", "X-Request-ID"),
            allow_private_network=True,
            expose_headers=(
                *("Accept-Ranges", "Content-Disposition", "Content-Range"),
                *("ETag", "Location", "Retry-After", "X-Request-ID"),
            ),
        )
    ]
