"""Where the pictures of an answer are: their names in the store, and the addresses from which a client gets them."""

from functools import cached_property, lru_cache

from starlette.applications import Starlette
from starlette.requests import Request

from app.storage.base import ObjectStore
from app.types import Hit, ImageRecord

_ANY_ID = "image-id"
_ROUTES = ("image_original", "image_thumbnail")


def version_of(record: ImageRecord) -> str:
    """Changes when the picture's content does: part of addresses whose answers may be kept for good."""
    return record.content_hash[:12]


class Locator:
    """Makes hits of records. Thread-safe."""

    def __init__(self, store: ObjectStore, *, link_expires_s: int) -> None:
        self._store = store
        self._link_expires_s = link_expires_s

    def locate(self, record: ImageRecord, score: float = 1.0) -> Hit:
        """Raises StorageUnavailable when the store can't sign an address."""
        return Hit(record, score, *self.place(record))

    def place(self, record: ImageRecord) -> tuple[str, str | None]:
        """`uri` and `url` of a hit. Raises StorageUnavailable when the store can't sign an address."""
        key = record.object_key
        return self._store.uri(key), self._store.url(key, self._link_expires_s)


class Addresses:
    """The addresses in one answer. What is the same for all its pictures is worked out once."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def image(self, hit: Hit) -> str:
        """The store's own address of the picture; the service's address where the store has none."""
        return hit.url or self._around_id[0][0] + hit.record.image_id + self._around_id[0][1]

    def thumbnail(self, hit: Hit) -> str:
        before, after = self._around_id[1]
        return f"{before}{hit.record.image_id}{after}?v={version_of(hit.record)}"

    @cached_property
    def _around_id(self) -> list[tuple[str, str]]:
        """What stands before and after the id, for each of `_ROUTES`."""
        base = str(self._request.base_url).rstrip("/")
        return [(base + before, after) for before, after in _paths(self._request.app)]


@lru_cache(maxsize=1)
def _paths(app: Starlette) -> list[tuple[str, str]]:
    """As `Addresses._around_id`, but without the host. Routes do not change while the service runs."""
    return [_split(app.url_path_for(route, image_id=_ANY_ID)) for route in _ROUTES]


def _split(path: str) -> tuple[str, str]:
    before, _, after = path.rpartition(_ANY_ID)
    return before, after
