"""Answers only requests that name a host of this service; any other gets 421.

A page of another site can give its own name the address of this service (DNS rebinding). The browser then takes the
service for a part of that site, and lets the page read it. But it sends the site's name as Host, by which we know.
An IP address as Host is safe: no other site has it as its name.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.http.problems import problem

LOCAL = ("localhost", "*.localhost")

_PORT = re.compile(r":\d*$")


class AllowedHostsMiddleware:
    """`names` are allowed besides `LOCAL` names and IP addresses. `*.example.com`: all below it; `*`: any."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        allowed = [name.lower() for name in (*LOCAL, *names)]
        self._names = frozenset(name for name in allowed if not name.startswith("*"))
        self._endings = tuple(name.removeprefix("*") for name in allowed if name.startswith("*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for name, value in scope["headers"]:  # HTTP/1.0 has no Host, and no browser speaks it
                if name == b"host" and not self._allows(host := value.decode("latin-1")):
                    sentence = f"This service is not known as {host!r}. If it is yours, add that name to ALLOWED_HOSTS."
                    return await problem(Request(scope), 421, sentence)(scope, receive, send)
        return await self._app(scope, receive, send)

    def _allows(self, host: str) -> bool:
        name = _PORT.sub("", host).lower().removesuffix(".")
        return name in self._names or name.endswith(self._endings) or _is_address(name.strip("[]"))


@lru_cache(maxsize=64)
def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
