"""What every request passes through, from the outside in."""

import re

from asgi_correlation_id import CorrelationIdMiddleware
from starlette.middleware import Middleware

from app.http.middleware.access_log import AccessLogMiddleware
from app.http.middleware.allowed_hosts import AllowedHostsMiddleware
from app.http.middleware.body_limit import BodyLimitMiddleware
from app.http.middleware.unexpected import UnexpectedErrorMiddleware
from app.http.problems import answer_unexpected
from app.settings import ImageSettings, ServerSettings

FORM_OVERHEAD_BYTES = 64 << 10
"""Boundaries, headers and text fields around an uploaded picture."""

MAX_JSON_BYTES = 1 << 20

_SAFE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""Request ids that are taken from the caller; any other is replaced, since it ends up in the log."""


def middleware(images: ImageSettings, server: ServerSettings) -> list[Middleware]:
    """Request id, access log, answers to bugs, allowed hosts, limits of the body."""
    max_form_bytes = images.max_bytes + FORM_OVERHEAD_BYTES

    def limit_for(content_type: str) -> int:
        return max_form_bytes if content_type.lower().startswith("multipart/") else MAX_JSON_BYTES

    return [
        Middleware(CorrelationIdMiddleware, validator=lambda offered: bool(_SAFE_ID.fullmatch(offered))),
        Middleware(AccessLogMiddleware),
        Middleware(UnexpectedErrorMiddleware, answer=answer_unexpected),
        Middleware(AllowedHostsMiddleware, names=server.names),
        Middleware(BodyLimitMiddleware, limit_for=limit_for),
    ]
