"""The seam to searches of pictures on the web, and a cache in front of each of them."""

from dataclasses import dataclass
from typing import Final, Protocol

from cachetools import TTLCache

from app.types import Source

MAX_PICTURES: Final = 100
"""Found by one search."""

_REMEMBERED: Final = 256
_REMEMBERED_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class WebPicture:
    """A picture that a provider has found. Nothing of it is checked yet."""

    url: str
    source: Source


class Provider(Protocol):
    """Finds pictures on the web."""

    async def find(self, query: str, count: int) -> list[WebPicture]:
        """At most `count` pictures, the best first. Raises WebSearchUnavailable, InvalidInput."""
        ...


class Remembering:
    """A provider that is asked once for the same query within a day. For one event loop."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._found: TTLCache[tuple[str, int], list[WebPicture]] = TTLCache(_REMEMBERED, _REMEMBERED_S)

    async def find(self, query: str, count: int) -> list[WebPicture]:
        key = (" ".join(query.split()), count)
        if key not in self._found:
            self._found[key] = await self._provider.find(*key)
        return self._found[key]
