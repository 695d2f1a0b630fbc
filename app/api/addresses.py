"""Where a client finds the pictures of an answer."""

from functools import cached_property

from starlette.requests import Request

from app.services.search import FoundImage

_ANY_ID = "image-id"


class Addresses:
    """Of one request: its routes are looked up once, however many pictures it answers."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def image(self, image: FoundImage) -> str:
        """The store's own address of the picture, or where the store has none, ours."""
        return image.url or self._original[0] + image.record.image_id + self._original[1]

    def thumbnail(self, image: FoundImage) -> str:
        return self._thumbnail[0] + image.record.image_id + self._thumbnail[1]

    @cached_property
    def _original(self) -> tuple[str, str]:
        return self._around_id("image_original")

    @cached_property
    def _thumbnail(self) -> tuple[str, str]:
        return self._around_id("image_thumbnail")

    def _around_id(self, route: str) -> tuple[str, str]:
        before, _, after = str(self._request.url_for(route, image_id=_ANY_ID)).rpartition(_ANY_ID)
        return before, after
