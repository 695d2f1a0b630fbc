"""The pictures of a view page by page, sorted and filtered.

A cursor names the last picture of its page by what it was sorted by. So pictures that come or go between two pages
shift no other picture out of the next page, or into it a second time.
"""

import base64
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

import numpy as np
import orjson

from app.catalog.columns import Columns, Floats
from app.catalog.filters import Filters
from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import InvalidInput
from app.http.addresses import Locator
from app.types import Hit, Ids, ImageRecord


class Sort(StrEnum):
    """What a list is sorted by. Pictures that are equal in it are sorted by key."""

    KEY = "key"
    DATE = "date"
    """When it was taken, or else last modified."""
    ADDED = "added"
    """When it came into the index. Pictures of which that is not known count as the oldest."""


@dataclass(frozen=True, slots=True)
class PictureList:
    """Which pictures, in which order."""

    filters: Filters
    sort: Sort = Sort.KEY
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    hits: list[Hit]
    count: int
    """How many pictures the whole list has now."""
    next_cursor: str | None
    """Where the next page begins; None on the last page."""
    generation: str


class Listing:
    """Lists the pictures of views."""

    def __init__(self, locator: Locator, workers: Workers) -> None:
        self._locator = locator
        self._workers = workers

    async def page(self, view: View, wanted: PictureList, limit: int, cursor: str | None = None) -> Page:
        """At most `limit` pictures after `cursor`.

        Raises InvalidInput for a cursor of another list, IndexCorrupt, StorageUnavailable, Overloaded.
        """
        last = read_cursor(cursor, wanted) if cursor else None
        return await self._workers.run(self._page, view, wanted, limit, last)

    def _page(self, view: View, wanted: PictureList, limit: int, last: "Position | None") -> Page:
        records, count = find_page(view, wanted, limit + 1, last)
        shown = records[:limit]
        more = len(records) > limit
        return Page(
            [self._locator.locate(record) for record in shown],
            count,
            write_cursor(Position.of(shown[-1], wanted.sort), wanted) if more else None,
            view.generation,
        )


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a sorted list."""

    value: float | None
    """What the list is sorted by; None for a list by key, and where it is not known."""
    key: str

    @classmethod
    def of(cls, record: ImageRecord, sort: Sort) -> "Position":
        value = {Sort.KEY: None, Sort.DATE: record.date, Sort.ADDED: record.added_at}[sort]
        return cls(None if value is None else float(value), record.object_key)


def find_page(
    view: View, wanted: PictureList, limit: int, last: Position | None = None
) -> tuple[list[ImageRecord], int]:
    """The first `limit` pictures after `last`, and how many pictures the whole list has."""
    columns = view.columns
    fits = wanted.filters.mask(columns)
    left = _after(view, wanted, last)
    places = left[np.flatnonzero(fits[left])[:limit]]
    return view.records_of(columns.rows[places].tolist()), int(np.count_nonzero(fits))


def _after(view: View, wanted: PictureList, last: Position | None) -> Ids:
    """The places of all pictures after `last`, in order."""
    order, values = _sorted(view.columns, wanted.sort)
    if last is None:
        return order[::-1] if wanted.descending else order
    first, end = 0, len(order)
    if values is not None:
        value = -np.inf if last.value is None else last.value
        first, end = (int(np.searchsorted(values, value, side, sorter=order)) for side in ("left", "right"))
    bisect = bisect_left if wanted.descending else bisect_right
    boundary = bisect(order, last.key, first, end, key=lambda place: _key_at(view, place))
    return order[:boundary][::-1] if wanted.descending else order[boundary:]


def _sorted(columns: Columns, sort: Sort) -> tuple[Ids, Floats | None]:
    """The places in rising order, and the values that they are sorted by before their keys."""
    match sort:
        case Sort.KEY:
            return columns.order, None
        case Sort.DATE:
            return columns.by_date, columns.dates
        case Sort.ADDED:
            return columns.by_added, columns.added_or_long_ago


def _key_at(view: View, place: int) -> str:
    return view.records_of([int(view.columns.rows[place])])[0].object_key


def write_cursor(last: Position, wanted: PictureList) -> str:
    """Opaque text of the letters that need no escape in a URL."""
    content = orjson.dumps([last.value, last.key, _seal(last, wanted)])
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def read_cursor(text: str, wanted: PictureList) -> Position:
    """Raises InvalidInput for anything but a cursor of this list."""
    try:
        value, key, seal = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        last = Position(None if value is None else float(value), str(key))
        if seal == _seal(last, wanted):
            return last
    except (ValueError, TypeError):  # no base64, no JSON, other JSON
        pass
    raise InvalidInput(
        "The cursor can't be read, or it is of a list with another sort, order or filter. Send a cursor back as it "
        "came, with the same parameters, or start again without one."
    )


def _seal(last: Position, wanted: PictureList) -> str:
    """Tells cursors of other lists, and damaged ones. It is no secret: a made-up cursor does no harm."""
    return blake2b(repr((last, wanted)).encode(), digest_size=6).hexdigest()
