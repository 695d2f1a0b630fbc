"""Where fetching connects: names are resolved here, every address is checked, and only a checked one is connected to.

The check stands below HTTP, so redirects and retries pass it too, and a name can't change its address between the check
and the connection. TLS and the Host header go on to use the name.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from ipaddress import ip_address
from typing import Any, TypeAlias

import httpcore2
import httpx2

from app.errors import ImageTooLarge, UrlRefused
from app.ingest.public_addresses import Address, AllowedHosts, is_public

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host, for a port. Raises OSError or UnicodeError."""

_MAX_ADDRESSES = 4
"""Tried one after the other."""


async def resolve_host(host: str, port: int) -> list[str]:
    """What the machine's resolver says. It understands the numeric forms too, such as `0x7f.1` and `2130706433`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to public addresses and allowed ones, and to no other."""

    def __init__(self, allowed: AllowedHosts, resolve: Resolve, network: httpcore2.AsyncNetworkBackend) -> None:
        """`network` makes the connections to addresses that have passed."""
        self._allowed = allowed
        self._resolve = resolve
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore2
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises UrlRefused, and httpcore2's ConnectError and ConnectTimeout."""
        failure: Exception | None = None
        for address in (await self._checked(host, port))[:_MAX_ADDRESSES]:
            try:
                stream = await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
                continue
            await self._refuse_ourselves(stream, host, address)
            return stream
        raise failure or refusal(host)

    async def _checked(self, host: str, port: int) -> list[Address]:
        """The host's addresses. Raises UrlRefused unless all of them may be connected to."""
        try:
            addresses = [ip_address(each) for each in await self._resolve(host, port)]
        except (OSError, ValueError) as error:
            raise refusal(host) from error
        if self._allowed.has_name(host):
            return addresses
        if not all(is_public(each) or self._allowed.has_address(each) for each in addresses):
            raise refusal(host)
        return addresses

    async def _refuse_ourselves(self, stream: httpcore2.AsyncNetworkStream, host: str, address: Address) -> None:
        """Raise UrlRefused for a connection to a public address of this machine: it would pass our own firewall."""
        if self._allowed.has_name(host) or self._allowed.has_address(address):
            return
        ours, theirs = stream.get_extra_info("client_addr"), stream.get_extra_info("server_addr")
        if ours and theirs and ours[0] == theirs[0]:
            await stream.aclose()
            raise refusal(host)


def refusal(host: str) -> UrlRefused:
    """One sentence for unknown and for private hosts, so that answers do not tell which internal names exist."""
    return UrlRefused(
        f"No public host is known as {host}, and pictures are fetched from public hosts only. Check the address, or "
        "send the picture as a file. FETCH_ALLOWED_HOSTS can name internal hosts."
    )


class CheckedTransport(httpx2.AsyncBaseTransport):
    """Speaks HTTP over a network of httpcore2. httpx2's own transport can't be given one."""

    def __init__(self, network: httpcore2.AsyncNetworkBackend, tls: ssl.SSLContext, max_bytes: int) -> None:
        """Bodies of more than `max_bytes` on the wire are refused."""
        self._pool = httpcore2.AsyncConnectionPool(tls, network_backend=network)
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises AppError, and httpcore2's errors."""
        url = request.url
        answer = await self._pool.handle_async_request(
            httpcore2.Request(
                request.method,
                httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                extensions=request.extensions,
            )
        )
        body = _Body(answer, self._max_bytes)
        return httpx2.Response(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """An answer's body as it comes from the network."""

    def __init__(self, answer: httpcore2.Response, max_bytes: int) -> None:
        self._answer = answer
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._max_bytes
        async for chunk in self._answer.aiter_stream():
            left -= len(chunk)
            if left < 0:
                raise too_large(self._max_bytes)
            yield chunk

    async def aclose(self) -> None:
        await self._answer.aclose()


def too_large(max_bytes: int) -> ImageTooLarge:
    return ImageTooLarge(f"The file at that address has more than {max_bytes:,} bytes. Name a smaller picture.")
