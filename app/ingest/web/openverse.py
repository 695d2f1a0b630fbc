"""Openverse: pictures under Creative Commons licences and in the public domain, with the names of their makers.

https://api.openverse.org/v1/ documents the API. Anonymous clients get 20 results a page, a few searches a
minute and some hundreds a day; a registered application gets more.
"""

import math
import time
from typing import Final

import httpx2
from pydantic import BaseModel, ValidationError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, stop_any, stop_before_delay
from tenacity.wait import wait_exception

from app.errors import FetchFailed, WebSearchUnavailable
from app.ingest.retry_after import seconds_of
from app.ingest.web.provider import WebPicture
from app.settings import WebSettings
from app.types import Source

ADDRESS: Final = "https://api.openverse.org"

PAGE_SIZE: Final = 20
"""The most that anonymous clients get."""

MAX_QUERY_CHARS: Final = 200
"""Openverse cuts off what is longer."""

ATTEMPTS: Final = 4
PATIENCE_S: Final = 60.0
"""How long a search may wait for its turn, all attempts together."""

TIMEOUT_S: Final = 20.0
DEFAULT_WAIT_S: Final = 2
_MAX_TEXT: Final = 500
"""Characters of a title or a name that are kept."""

_NOT_PICTURES: Final = ("svg",)
"""File types that Openverse counts as images, and that are not indexed."""


class _Image(BaseModel):
    """A result. Openverse may leave any of it empty."""

    url: str | None = None
    foreign_landing_url: str | None = None
    title: str | None = None
    creator: str | None = None
    license: str | None = None
    license_version: str | None = None
    license_url: str | None = None
    attribution: str | None = None
    filetype: str | None = None


class _Page(BaseModel):
    page_count: int
    results: list[_Image]


class Openverse:
    """Searches Openverse. For one event loop."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._blocked_until = 0.0
        """By the monotonic clock; before that Openverse wants no further search."""

    async def find(self, query: str, count: int) -> list[WebPicture]:
        """At most `count` pictures. Waits for its turn where Openverse asks for it.

        Raises WebSearchUnavailable, and FetchFailed when Openverse refuses the search.
        """
        found: list[WebPicture] = []
        async with self._client() as client:
            for number in range(1, math.ceil(count / PAGE_SIZE) + 1):
                page = await self._page(client, query[:MAX_QUERY_CHARS], number)
                found += [_picture(image, image.url) for image in page.results if image.url and _is_picture(image)]
                if number >= page.page_count:
                    break
        return found[:count]

    def _client(self) -> httpx2.AsyncClient:
        token = self._settings.openverse_token
        headers = {"User-Agent": "image2search", **({"Authorization": f"Bearer {token}"} if token else {})}
        address = (self._settings.openverse_url or ADDRESS).rstrip("/")
        return httpx2.AsyncClient(base_url=address, headers=headers, timeout=TIMEOUT_S, follow_redirects=True)

    async def _page(self, client: httpx2.AsyncClient, query: str, number: int) -> _Page:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(WebSearchUnavailable),
            wait=wait_exception(_retry_after_s),
            stop=stop_any(stop_after_attempt(ATTEMPTS), stop_before_delay(PATIENCE_S)),
            reraise=True,
        ):
            with attempt:
                return await self._ask(client, {"q": query, "page_size": PAGE_SIZE, "page": number})
        raise AssertionError("tenacity returns or raises")

    async def _ask(self, client: httpx2.AsyncClient, parameters: dict[str, str | int]) -> _Page:
        left_s = self._blocked_until - time.monotonic()
        if left_s > 0:
            raise _unavailable("takes no more searches for now", math.ceil(left_s))
        try:
            answer = await client.get("/v1/images/", params=parameters)
        except httpx2.HTTPError as error:
            raise _unavailable(f"does not answer ({type(error).__name__})", DEFAULT_WAIT_S) from error
        if answer.status_code == httpx2.codes.TOO_MANY_REQUESTS:
            wait_s = seconds_of(answer.headers.get("retry-after", ""), DEFAULT_WAIT_S)
            self._blocked_until = time.monotonic() + wait_s
            raise _unavailable("takes no more searches for now. WEB_OPENVERSE_TOKEN allows more", wait_s)
        if answer.is_server_error:
            raise _unavailable(f"has a problem of its own ({answer.status_code})", DEFAULT_WAIT_S)
        if not answer.is_success:
            raise FetchFailed(f"Openverse refuses the search ({answer.status_code}): {answer.text[:_MAX_TEXT]}")
        try:
            return _Page.model_validate_json(answer.content)
        except ValidationError as error:
            raise FetchFailed(
                "Openverse's answer is not as its documentation says. Is WEB_OPENVERSE_URL right?"
            ) from error


def license_name(code: str, version: str | None) -> str:
    """`CC BY-SA 2.0` for Openverse's `by-sa` and `2.0`."""
    name = {"cc0": "CC0", "pdm": "Public Domain Mark"}.get(code, f"CC {code.upper()}")
    return f"{name} {version}" if version else name


def _is_picture(image: _Image) -> bool:
    return image.filetype not in _NOT_PICTURES


def _picture(image: _Image, url: str) -> WebPicture:
    source = Source(
        url=url,
        page_url=image.foreign_landing_url or None,
        title=_cut(image.title),
        creator=_cut(image.creator),
        license=license_name(image.license, image.license_version) if image.license else None,
        license_url=image.license_url or None,
        attribution=_cut(image.attribution),
    )
    return WebPicture(url, source)


def _cut(text: str | None) -> str | None:
    return text[:_MAX_TEXT] if text else None


def _retry_after_s(error: BaseException) -> float:
    return error.retry_after_s if isinstance(error, WebSearchUnavailable) else DEFAULT_WAIT_S


def _unavailable(what: str, retry_after_s: int) -> WebSearchUnavailable:
    return WebSearchUnavailable(f"Openverse {what}. Try again in {retry_after_s} s.", retry_after_s=retry_after_s)
