"""Groups of duplicates in three kinds that never mix, and which picture of each to keep.

Pictures of the same bytes are one picture for the kind after it, and copies of the same photo are one for the last:
a picture comes in a later kind only as the one to keep of its group. A group is one picture with those that are related
to it, not those that are related to these: so no chain of small steps joins pictures that have nothing in common.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

import numpy as np

from app.catalog.columns import Columns
from app.library.duplicates.pairs import Pairs, Relation
from app.types import Ids


class Kind(StrEnum):
    """What the pictures of a group have in common."""

    BYTES = "bytes"
    """The same bytes."""
    PHOTO = "photo"
    """The same photo: resized, recompressed, cropped a little, brightened, framed, flipped or turned by quarters."""
    SIMILAR = "similar"
    """Shots of one burst, or pictures that are very much alike."""


class Reason(StrEnum):
    """Why a picture is the one to keep: in what it is before all others of its group, or equal to the first."""

    RESOLUTION = "resolution"
    SIZE = "size"
    DATE = "date"
    NAME = "name"


WORDS: Final = {
    Reason.RESOLUTION: "it has the most pixels",
    Reason.SIZE: "its file is the largest",
    Reason.DATE: "it is the oldest",
    Reason.NAME: "its name is the shortest, or else the first by the alphabet",
}


_ALL_BITS: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Member:
    """A picture of a group beside the one to keep."""

    row: int
    turned: bool = False
    """Whether it is flipped or turned against the one to keep."""


@dataclass(frozen=True, slots=True)
class Group:
    """At least two pictures."""

    id: str
    """16 hex digits that stay the same while the group has the same pictures."""
    kind: Kind
    keep: int
    """The row of the picture to keep."""
    reason: Reason
    others: tuple[Member, ...]
    """The best to keep first."""
    freed_bytes: int
    """Size of the others' files."""
    tokens: frozenset[str]
    """One for each picture: its id and a part of its content's hash."""
    is_burst: bool = False
    """Whether they were taken one after the other."""

    @property
    def rows(self) -> list[int]:
        return [self.keep, *(member.row for member in self.others)]


def token_of(row: int, content: int) -> str:
    """A picture with its content, as `Group.tokens`; `content` as in `Columns.contents`."""
    return f"{row & _ALL_BITS:016x}:{content:016x}"


def group_id(kind: Kind, tokens: frozenset[str]) -> str:
    return blake2b(" ".join([kind, *sorted(tokens)]).encode(), digest_size=8).hexdigest()


_Links = Mapping[int, Mapping[int, int]]
"""By place: the places that it is related to, and which of `turned` of it they are."""

_BACK: Final = (0, 1, 2, 3, 4, 6, 5, 7)
"""The turn that undoes each one of `turned`: a quarter to the left undoes one to the right."""


class Grouping:
    """Makes groups of the pictures in `columns`."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        worst_first = (columns.ranks, columns.key_lengths, columns.dates, -columns.sizes_bytes, -columns.pixels)
        order = np.lexsort(worst_first)  # by the last one first
        self._rank = np.empty_like(order)
        self._rank[order] = np.arange(len(order))
        """Of each place; the best to keep has 0."""

    def same_bytes(self) -> tuple[list[Group], Ids]:
        """The groups, and the places of all pictures but those that they need not keep."""
        columns = self._columns
        if not len(columns):
            return [], np.empty(0, np.int64)
        order = np.lexsort([self._rank, columns.contents])
        contents = columns.contents[order]
        starts = np.flatnonzero(np.concatenate([[True], contents[1:] != contents[:-1]]))
        sizes = np.diff(np.append(starts, len(order)))
        groups = [
            self._group(Kind.BYTES, dict.fromkeys(order[start : start + size].tolist(), 0))
            for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True)
        ]
        return groups, np.sort(order[starts])

    def related(self, pairs: Pairs) -> tuple[list[Group], list[Group]]:
        """The groups of the same photo, and those of bursts and similar pictures."""
        places = self._places_of(pairs)
        photos = [
            self._group(Kind.PHOTO, star) for star in self._stars(self._links(pairs, places, Relation.PHOTO), set())
        ]
        at = dict(zip(self._columns.rows.tolist(), range(len(self._columns)), strict=True)) if photos else {}
        standing = {at[member.row]: at[group.keep] for group in photos for member in group.others}
        taken: set[int] = set()
        bursts = self._stars(self._links(pairs, places, Relation.BURST, standing), taken)
        similar = [self._group(Kind.SIMILAR, star, is_burst=True) for star in bursts]
        others = self._stars(self._links(pairs, places, Relation.SIMILAR, standing), taken)
        return photos, similar + [self._group(Kind.SIMILAR, star) for star in others]

    def _places_of(self, pairs: Pairs) -> tuple[Ids, Ids]:
        rows = self._columns.rows
        order = np.argsort(rows, kind="stable")
        return (
            order[np.searchsorted(rows, pairs.first, sorter=order)],
            order[np.searchsorted(rows, pairs.second, sorter=order)],
        )

    def _links(
        self,
        pairs: Pairs,
        places: tuple[Ids, Ids],
        relation: Relation,
        standing: Mapping[int, int] = MappingProxyType({}),
    ) -> _Links:
        """The pairs of one relation from both sides. `standing` has the places for which others stand."""
        links: dict[int, dict[int, int]] = defaultdict(dict)
        wanted = pairs.relations == relation
        sides = places[0][wanted].tolist(), places[1][wanted].tolist(), pairs.turns[wanted].tolist()
        for first, second, turn in zip(*sides, strict=True):
            one, other = standing.get(first, first), standing.get(second, second)
            if one != other:
                links[one][other], links[other][one] = turn, _BACK[turn]
        return links

    def _stars(self, links: _Links, taken: set[int]) -> list[dict[int, int]]:
        """The picture that is related to the most others, with these; then the same of the rest, and so on.

        Each with the turn of each picture. Pictures that are `taken` are left out; those of the stars are added.
        """
        stars = []
        for centre in sorted(links, key=lambda place: (-len(links[place]), self._rank[place])):
            near = {other: turn for other, turn in links[centre].items() if other not in taken}
            if centre not in taken and near:
                stars.append({centre: 0, **near})
                taken |= {centre, *near}
        return stars

    def _group(self, kind: Kind, turns: Mapping[int, int], *, is_burst: bool = False) -> Group:
        """The group of these places."""
        columns = self._columns
        places = sorted(turns, key=self._rank.__getitem__)
        keep, *others = places
        tokens = frozenset(
            token_of(row, content)
            for row, content in zip(columns.rows[places].tolist(), columns.contents[places].tolist(), strict=True)
        )
        return Group(
            group_id(kind, tokens),
            kind,
            int(columns.rows[keep]),
            self._reason(keep, others[0]),
            tuple(Member(int(columns.rows[other]), turns[other] != turns[keep]) for other in others),
            int(columns.sizes_bytes[others].sum()),
            tokens,
            is_burst,
        )

    def _reason(self, keep: int, other: int) -> Reason:
        """In what the picture to keep is before the best of the others."""
        columns = self._columns
        by_reason = {
            Reason.RESOLUTION: columns.pixels,
            Reason.SIZE: columns.sizes_bytes,
            Reason.DATE: columns.dates,
        }
        return next((reason for reason, values in by_reason.items() if values[keep] != values[other]), Reason.NAME)
