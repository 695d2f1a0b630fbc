"""Where a client finds the pictures of an answer."""

from functools import cached_property, lru_cache

from starlette.applications import Starlette
from starlette.requests import Request

from app.search.service import FoundImage

_ANY_ID = "image-id"
_ROUTES = ("image_original", "image_thumbnail")


class Addresses:
    """Of one request: what is the same for all pictures of its answer is found out once."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def image(self, image: FoundImage) -> str:
        """The store's own address of the picture, or where the store has none, ours."""
        return image.url or self._around_id[0][0] + image.record.image_id + self._around_id[0][1]

    def thumbnail(self, image: FoundImage) -> str:
        return self._around_id[1][0] + image.record.image_id + self._around_id[1][1]

    @cached_property
    def _around_id(self) -> list[tuple[str, str]]:
        """What stands before and after the id, for each of `_ROUTES`."""
        base = str(self._request.base_url).rstrip("/")
        return [(base + before, after) for before, after in _paths(self._request.app)]


@lru_cache(maxsize=1)
def _paths(app: Starlette) -> list[tuple[str, str]]:
    """As `Addresses._around_id`, without what a request adds: routes do not change once the service runs."""
    return [_split(app.url_path_for(route, image_id=_ANY_ID)) for route in _ROUTES]


def _split(path: str) -> tuple[str, str]:
    before, _, after = path.rpartition(_ANY_ID)
    return before, after
