"""General picture search by way of ddgs (extra `ddgs`). It says nothing of licences."""

from typing import Any, Final

import anyio.to_thread

from app.errors import InvalidSettings, WebSearchUnavailable
from app.ingest.web.provider import WebPicture
from app.types import Source

TIMEOUT_S: Final = 20
RETRY_AFTER_S: Final = 60
_NOTHING_FOUND: Final = "No results found."


class Ddgs:
    """Searches by the library ddgs, which asks several search engines."""

    async def find(self, query: str, count: int) -> list[WebPicture]:
        """At most `count` pictures. Raises WebSearchUnavailable, and InvalidSettings without the extra."""
        return await anyio.to_thread.run_sync(_find, query, count, abandon_on_cancel=True)


def _find(query: str, count: int) -> list[WebPicture]:
    try:
        from ddgs import DDGS
        from ddgs.exceptions import DDGSException
    except ImportError as error:
        raise InvalidSettings("The provider ddgs is not installed. Run: pip install 'image2search[ddgs]'") from error
    try:
        results = DDGS(timeout=TIMEOUT_S).images(query, safesearch="moderate", max_results=count)
    except DDGSException as error:
        if str(error) == _NOTHING_FOUND:
            return []
        raise WebSearchUnavailable(
            f"The web search by ddgs failed: {error}. Try again in a minute.", retry_after_s=RETRY_AFTER_S
        ) from error
    return [_picture(each) for each in results if each.get("image")][:count]


def _picture(result: dict[str, Any]) -> WebPicture:
    url = str(result["image"])
    return WebPicture(
        url, Source(url, page_url=result.get("url") or None, title=(result.get("title") or "")[:500] or None)
    )
