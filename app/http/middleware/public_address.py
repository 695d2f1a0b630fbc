"""Puts the address by which clients know this service into each request: the links of the answer begin with it.

It is what `PUBLIC_URL` says. Where that is empty, a trusted proxy says it in X-Forwarded-Proto, -Host and -Prefix.
The Host header that came stays behind the new one, so that `allowed_hosts.py` checks both. Else a page of another site,
in a browser on this machine, could call itself a proxy and name a host that is allowed.
"""

import re
from typing import cast
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

OWN_PATHS = ("api", "docs", "health", "static-offline-docs")
"""What our paths begin with. Of a prefix that begins so too, it can't be seen whether a proxy has removed it.

The short paths for other systems' clients (`/search`, `/images`) are not among them: a prefix such as `/search` is
common, and hides the one path that is the same.
"""

_IPV4_IN_IPV6 = "::ffff:"
"""Before the IPv4 addresses that a socket for both kinds of addresses shows."""

_PREFIX = re.compile(r"(/(?!\.\.?(/|$))[\w.~-]+)*", re.ASCII)


class PublicUrlMiddleware:
    """Every client knows the service by `public_url`."""

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self._app = app
        self._url = urlsplit(public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = _with_address({**scope, "scheme": self._url.scheme}, self._url.netloc, self._url.path)
        return await self._app(scope, receive, send)


class ForwardedMiddleware:
    """Believes proxies at the addresses, and in the networks, that `proxies` names; `*` are all."""

    def __init__(self, app: ASGIApp, proxies: str) -> None:
        self._scheme_and_client = ProxyHeadersMiddleware(cast(ASGI3Application, app), proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["client"]:
            host, port = scope["client"]
            scope = {**scope, "client": (host.removeprefix(_IPV4_IN_IPV6), port)}
            if scope["client"][0] in self._scheme_and_client.trusted_hosts:
                headers = Headers(scope=scope)
                asked_for = headers.get("x-forwarded-host", "").partition(",")[0].strip()
                scope = _with_address(scope, asked_for, _prefix(headers))
        return await self._scheme_and_client(scope, receive, send)  # type: ignore[arg-type]


def _prefix(headers: Headers) -> str:
    """What the proxies have removed from the path, the outermost first; empty where it is no plain path."""
    values = ",".join(headers.getlist("x-forwarded-prefix")).split(",")
    prefix = "".join(value.strip().rstrip("/") for value in values)
    return prefix if _PREFIX.fullmatch(prefix) else ""


def _with_address(scope: Scope, host: str, prefix: str) -> Scope:
    """The request as it would have come without a proxy. The path may have kept the prefix."""
    headers, path = scope["headers"], scope["path"]
    if host:
        headers = [(b"host", host.encode("latin-1")), *headers]
    kept = f"{path}/".startswith(f"{prefix}/") and prefix.partition("/")[2].partition("/")[0] not in OWN_PATHS
    return {**scope, "headers": headers, "root_path": prefix, "path": path if kept else prefix + path}
