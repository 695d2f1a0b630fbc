"""One download: a checked address, its redirects, each checked anew, and a body that is a picture by its first bytes.

httpx2 takes a tenth of a second to import; `app.ingest.fetching` does so when the first picture is fetched.
"""

from email.message import Message
from typing import Final

import httpcore2
import httpx2

from app.errors import FetchFailed, UrlRefused
from app.ingest.network import CheckedTransport, too_large
from app.ingest.public_addresses import AllowedHosts
from app.ingest.retry_after import seconds_of
from app.pictures.formats import recognise

HTTP_ERRORS: Final = (
    *(httpx2.HTTPError, httpx2.StreamError, UnicodeError),
    *(httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, httpcore2.UnsupportedProtocol),
)
"""What a server that does not speak HTTP as it should makes the libraries raise."""

_HEADERS: Final = {
    "User-Agent": "image2search",
    "Accept": "image/*,*/*;q=0.5",
    "Accept-Encoding": "identity",  # pictures are compressed already, and a bomb needs an encoding
}

_ENCODINGS: Final = ("", "identity", "gzip", "deflate")
"""Each makes at most a thousand bytes of one. Several in a row would multiply that."""

_RETRY_AFTER_S: Final = 2
"""For servers that ask to come back later and don't say when."""

_CONNECT_TIMEOUT_S: Final = 5.0
"""For each address of a host: the next one is tried where one of them leads nowhere."""

_HEAD_BYTES: Final = 4096
"""Enough of a file to recognise it."""

_FIRST_FREE_PORT: Final = 1024
"""Below are mail, terminals and other services that are no web servers."""


def checked_url(text: str, allowed: AllowedHosts) -> httpx2.URL:
    """The address, if it is one that a picture can be asked for. Raises UrlRefused."""
    try:
        url = httpx2.URL(text.strip())
        host = url.host
    except (httpx2.InvalidURL, ValueError) as error:
        raise UrlRefused(f"This is no web address: {error}. {_EXAMPLE}") from error
    if url.scheme not in ("http", "https") or not host:
        raise UrlRefused(f"Pictures are fetched from http and https addresses only. {_EXAMPLE}")
    if url.userinfo:
        raise UrlRefused("The address holds a user name. Pictures are fetched without one: leave out what ends in @.")
    _check_port(url, allowed)
    return url.copy_with(fragment=None)


_EXAMPLE: Final = "Write it as in https://example.org/picture.jpg"


def _check_port(url: httpx2.URL, allowed: AllowedHosts) -> None:
    port = url.port
    is_web = port is None or port in (80, 443) or _FIRST_FREE_PORT <= port < 1 << 16
    is_possible = port is None or 0 < port < 1 << 16
    if not (is_web or (is_possible and allowed.has_host(host_of(url)))):
        raise UrlRefused(f"Pictures are not fetched from port {port}. Ports 80, 443 and those from 1024 on are asked.")


def host_of(url: httpx2.URL) -> str:
    """As it is looked up: international names in ASCII, where no letter looks like another one."""
    return url.raw_host.decode("ascii")


async def download(
    client: httpx2.AsyncClient, url: httpx2.URL, allowed: AllowedHosts, *, max_bytes: int, max_redirects: int
) -> tuple[bytes, str]:
    """The picture file at the address, and what the server calls it.

    Raises UrlRefused, FetchFailed, ImageTooLarge, InvalidImage, UnsupportedImageType and `HTTP_ERRORS`.
    """
    for _ in range(max_redirects + 1):
        async with client.stream("GET", url) as answer:
            if answer.next_request is None:
                return await _read(answer, max_bytes)
            url = checked_url(str(answer.next_request.url), allowed)
    raise FetchFailed(f"The address leads on more than {max_redirects} times. Name the last one: a browser shows it.")


def new_client(transport: CheckedTransport, timeout_s: float) -> httpx2.AsyncClient:
    """For one download: cookies of one server never reach another download. Proxies of the environment are not used."""
    limits = httpx2.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S))
    return httpx2.AsyncClient(transport=transport, trust_env=False, timeout=limits, headers=_HEADERS)


async def _read(answer: httpx2.Response, max_bytes: int) -> tuple[bytes, str]:
    host = host_of(answer.request.url)
    if answer.status_code != httpx2.codes.OK:
        raise _no_picture(answer)
    encoding = answer.headers.get("content-encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise FetchFailed(f"{host} sends the picture in an encoding that is not taken. Send it as a file.")
    if int(answer.headers.get("content-length", 0)) > max_bytes:  # h11 lets digits through only, at most 20
        raise too_large(max_bytes)
    data = await _body(answer, max_bytes)
    recognise(data)
    return data, _name_given(answer)


def _no_picture(answer: httpx2.Response) -> FetchFailed:
    """The error for an answer with another status."""
    what = f"{host_of(answer.request.url)} answers {answer.status_code}, not with a picture"
    error = FetchFailed(f"{what}. Check the address in a browser.")
    if answer.status_code in (httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.SERVICE_UNAVAILABLE):
        error.retry_after_s = seconds_of(answer.headers.get("retry-after", ""), _RETRY_AFTER_S)
    return error


async def _body(answer: httpx2.Response, max_bytes: int) -> bytes:
    """The body, decoded. What is no picture by its first bytes, or too large, is not read to its end."""
    data = bytearray()
    looked_at = False
    async for chunk in answer.aiter_bytes():
        data += chunk
        if len(data) > max_bytes:
            raise too_large(max_bytes)
        if not looked_at and len(data) >= _HEAD_BYTES:
            recognise(bytes(data[:_HEAD_BYTES]))
            looked_at = True
    return bytes(data)


def _name_given(answer: httpx2.Response) -> str:
    """As the server names the file, else as its address ends. It may hold anything."""
    disposition = Message()
    disposition["Content-Disposition"] = answer.headers.get("content-disposition", "")
    return disposition.get_filename() or answer.request.url.path.rpartition("/")[2]
