"""Pictures from addresses that clients name: hostile ground, so every step has a limit.

`Fetcher.fetch(url)` bounds the time and the number of fetches; `download` follows and reads one of them; `network`
decides what may be connected to (`public_addresses`). What comes back is a picture by its first bytes. Its pixels are
checked where it is decoded, as those of any other file.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import anyio
from pydantic import Field

from app.errors import FetchFailed, Overloaded
from app.ingest.public_addresses import AllowedHosts
from app.settings import FetchSettings

if TYPE_CHECKING:
    import httpcore2
    import httpx2

    from app.ingest.network import Resolve

FETCHES: Final = 8
"""Pictures fetched at the same time. Each holds up to IMAGE_MAX_BYTES."""

MAX_WAITING: Final = 64

Url: TypeAlias = Annotated[
    str,
    Field(
        min_length=1,
        max_length=8000,
        description="http or https address of a picture that anyone can see, without a login",
        examples=["https://example.org/photos/sunset.jpg"],
    ),
]
"""The field of a request that names a picture to fetch. Signed addresses of clouds have up to 2,000 characters."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A picture file from the web."""

    data: bytes
    url: str
    """As it was asked for, without a fragment."""
    name: str
    """What the server or the address calls the file. It may be empty, or hold anything; `Adding` makes a key of it."""


class Fetcher:
    """Fetches pictures by their addresses. For one event loop."""

    def __init__(
        self,
        settings: FetchSettings,
        max_bytes: int,
        *,
        resolve: "Resolve | None" = None,
        network: "httpcore2.AsyncNetworkBackend | None" = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Without `resolve`, `network` and `tls`: the machine's resolver, network and trusted certificates."""
        self._settings = settings
        self._max_bytes = max_bytes
        self._allowed = AllowedHosts.parse(settings.allowed_hosts)
        self._resolve = resolve
        self._network = network
        self._given_tls = tls
        self._limiter = anyio.CapacityLimiter(FETCHES)

    async def fetch(self, url: str) -> Fetched:
        """The picture file at an http or https address of a public or allowed host.

        Raises UrlRefused, FetchFailed, ImageTooLarge, InvalidImage, UnsupportedImageType, Overloaded.
        """
        from app.ingest.download import HTTP_ERRORS, checked_url, host_of

        checked = checked_url(url, self._allowed)
        async with self._turn():
            try:
                with anyio.fail_after(self._settings.timeout_s):
                    data, name = await self._download(checked)
            except TimeoutError as error:
                limit = f"{self._settings.timeout_s:g} s"
                raise FetchFailed(
                    f"{host_of(checked)} did not send the picture within {limit}. Try again, or send it as a file."
                ) from error
            except HTTP_ERRORS as error:
                raise FetchFailed(f"{host_of(checked)} {_what_went_wrong(error)}") from error
        return Fetched(data, str(checked), name)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One of `FETCHES` places; it is waited for as long as a fetch may take. Raises Overloaded."""
        busy = Overloaded("Too many pictures are being fetched. Try again in a moment.")
        if self._limiter.statistics().tasks_waiting >= MAX_WAITING:
            raise busy
        with anyio.move_on_after(self._settings.timeout_s) as waiting:
            await self._limiter.acquire()
        if waiting.cancelled_caught:
            raise busy
        try:
            yield
        finally:
            self._limiter.release()

    async def _download(self, url: "httpx2.URL") -> tuple[bytes, str]:
        from app.ingest.download import download, new_client
        from app.ingest.network import CheckedTransport

        transport = CheckedTransport(self._checked_network, self._tls, self._max_bytes)
        async with new_client(transport, self._settings.timeout_s) as client:
            return await download(
                client,
                url,
                self._allowed,
                max_bytes=self._max_bytes,
                max_redirects=self._settings.max_redirects,
            )

    @cached_property
    def _checked_network(self) -> "httpcore2.AsyncNetworkBackend":
        import httpcore2

        from app.ingest.network import CheckedNetwork, resolve_host

        return CheckedNetwork(self._allowed, self._resolve or resolve_host, self._network or httpcore2.AnyIOBackend())

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Takes 20 ms to make. `SSL_CERT_FILE` names other trusted certificates, such as those of an own authority."""
        if self._given_tls:
            return self._given_tls
        import httpx2

        return httpx2.create_ssl_context()


def _what_went_wrong(error: Exception) -> str:
    """In words for a person who sees the address in a browser."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"has no certificate that is valid for it ({cause.verify_message}). Check the address."
        cause = cause.__context__  # httpcore2 raises `from None`
    return "did not answer as a web server does. Check the address in a browser, or send the picture as a file."
