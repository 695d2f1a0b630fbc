"""Pages that hold still: the first one pins the query and the state of the index, later ones go on in one ranking.

The first page is an ordinary search. For the second one, the best pictures are ranked once, in `DEPTHS` where that is
not enough. What was shown before is taken out of each ranking, so that none is repeated and none is lost. Later pages
are slices of it. Another replica makes the same ranking from the same state.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from app.catalog.view import View
from app.errors import InvalidCursor, PagesGone
from app.search.cursors import Cursor, Cursors
from app.search.finding import Finder, Found
from app.search.hybrid import Match
from app.search.leaving_out import MOST_LOOKED_THROUGH
from app.search.minus_words import Understood
from app.search.pinned import GONE, Pinned, PinnedStates
from app.search.prepared import Prepared
from app.types import Hit, row_id

DEPTHS: Final = (500, MOST_LOOKED_THROUGH)
"""Pictures that are ranked. The second one takes several times as long, and few callers go as far."""

MOST_RANKINGS: Final = 16
"""Rankings that are kept, of 2 MB at most each. One that is dropped is made again from the pinned state."""

NO_FURTHER: Final = f"Pages end after the best {MOST_LOOKED_THROUGH:,} pictures. Narrow the search to see others."

OTHER_SCOPE: Final = "The cursor belongs to another access key, or to another scope of this one. Search again."


class Place(NamedTuple):
    """A picture in a ranking: a `Match` without its record."""

    row: int
    score: float
    cosine: float | None
    relevance: float | None
    words: float | None
    is_named: bool


@dataclass(frozen=True, slots=True)
class _Rest:
    """The ranking without the first page."""

    places: tuple[Place, ...] = ()
    note: str | None = None
    depth: int = 0
    """How many of `DEPTHS` were ranked."""
    has_more: bool = True
    """Whether there may be pictures after these."""

    @property
    def can_grow(self) -> bool:
        return self.has_more and self.depth < len(DEPTHS)


@dataclass(frozen=True, slots=True)
class Page:
    """A later page."""

    hits: list[Hit]
    prepared: Prepared
    generation: str
    good_match: bool | None
    """Of the first page."""
    note: str | None
    understood: Understood | None
    next_cursor: str | None


class Pages:
    """Begins and continues searches. For several threads."""

    def __init__(self, finder: Finder, states: PinnedStates, cursors: Cursors) -> None:
        self._finder = finder
        self._states = states
        self._cursors = cursors
        self._rests: OrderedDict[tuple[str, tuple[str, ...]], _Rest] = OrderedDict()
        self._changing = threading.Lock()

    def cursor_after(
        self, found: Found, prepared: Prepared, view: View, understood: Understood | None = None
    ) -> str | None:
        """The cursor of the second page; None where there is none. Keeps the view's state. Raises as `pin`."""
        if not found.has_more:
            return None
        self._states.pin(view)
        cursor = Cursor(
            secrets.token_urlsafe(9), view.generation, view.journal, view.scope, prepared,
            tuple(row_id(hit.record.image_id) for hit in found.hits), found.good_match, understood,
        )  # fmt: skip
        return self._cursors.write(cursor)

    def read(self, text: str, current: View) -> Cursor:
        """The cursor, if the caller sees what its maker saw; its texts have no vectors yet. Raises InvalidCursor."""
        cursor = self._cursors.read(text)
        if cursor.scope != current.scope:
            raise InvalidCursor(OTHER_SCOPE)
        return cursor

    def following(self, cursor: Cursor, k: int, current: View) -> Page:
        """The page that a cursor names, of k pictures. Pictures that are deleted by now are left out.

        All its terms have their vectors. Raises PagesGone, and as `SearchService.search`.
        """
        pinned = self._states.get(cursor.generation, cursor.journal, current)
        rest = self._rest(cursor, pinned)
        shown, offset = _take(rest.places, cursor.offset, k, pinned.view, current)
        while rest.can_grow and (len(shown) < k or offset == len(rest.places)):
            rest = self._grown(rest, cursor, pinned)
            shown, offset = _take(rest.places, cursor.offset, k, pinned.view, current)
        hits = self._finder.show(cursor.prepared, pinned.view, pinned.scales, shown)
        has_more = offset < len(rest.places)
        notes = [rest.note]
        if not has_more and rest.has_more:
            notes.append(NO_FURTHER)
        return Page(
            hits, cursor.prepared, cursor.generation, cursor.good_match, " ".join(filter(None, notes)) or None,
            cursor.understood, self._cursors.write(replace(cursor, offset=offset)) if has_more else None,
        )  # fmt: skip

    def _rest(self, cursor: Cursor, pinned: Pinned) -> _Rest:
        name = cursor.search, cursor.scope
        with self._changing:
            if name in self._rests:
                self._rests.move_to_end(name)
                return self._rests[name]
        if cursor.offset and not pinned.view.holds_still:
            raise PagesGone(GONE)
        return self._grown(_Rest(), cursor, pinned)

    def _grown(self, rest: _Rest, cursor: Cursor, pinned: Pinned) -> _Rest:
        """The rest with the next of `DEPTHS`. It is kept."""
        shown = [*cursor.first, *(each.row for each in rest.places)]
        ranking = self._finder.rank(cursor.prepared, pinned.view, pinned.scales, DEPTHS[rest.depth], shown)
        rows = frozenset(shown)
        added = [
            Place(row, match.score, match.cosine, match.relevance, match.words, match.is_named)
            for match in ranking.matches
            if (row := row_id(match.record.image_id)) not in rows
        ]
        grown = _Rest((*rest.places, *added), ranking.note, rest.depth + 1, ranking.has_more)
        with self._changing:
            name = cursor.search, cursor.scope
            self._rests[name] = grown
            self._rests.move_to_end(name)
            while len(self._rests) > MOST_RANKINGS:
                self._rests.popitem(last=False)
        return grown


def _take(places: Sequence[Place], offset: int, k: int, pinned: View, current: View) -> tuple[list[Match], int]:
    """The next k pictures that still exist, and where the page after them begins."""
    taken: list[Match] = []
    while len(taken) < k and offset < len(places):
        some = places[offset : offset + k - len(taken)]
        offset += len(some)
        for place, record in zip(some, pinned.records_of([each.row for each in some]), strict=True):
            if record.image_id in current:
                taken.append(Match(record, *place[1:]))
    return taken, offset
