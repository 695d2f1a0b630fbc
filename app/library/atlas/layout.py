"""Which picture lies where in a sprite atlas: numbered slots, filled row by row and page by page.

A picture keeps its slot for as long as it exists. A slot that becomes free is given to the next new picture. So one
more picture changes one page, and what a page shows follows from its slots alone.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from app.types import Ids

PAGE_SIDE: Final = 2048
"""Pixels: every graphics card takes textures of this size."""

FORMAT: Final = 1
"""Raise it when pages are to be drawn differently: all of them are then made again."""

FREE: Final = np.uint64(0)

_NOTHING: Final = (0, int(FREE))
"""A slot without a picture."""

_LEAST: Final = FREE + np.uint64(1)

Contents = NDArray[np.uint64]
"""(N,) numbers that differ where the contents of pictures do."""


@dataclass(frozen=True, eq=False)
class AtlasLayout:
    """The slots of an atlas. Immutable."""

    cell: int
    """Side of a slot, pixels."""
    rows: Ids
    """(S,) row id of the picture in each slot; of a free slot any number."""
    contents: Contents
    """(S,) what the picture shows; FREE for a free slot."""

    @classmethod
    def empty(cls, cell: int) -> Self:
        return cls(cell, np.empty(0, np.int64), np.empty(0, np.uint64))

    @property
    def per_row(self) -> int:
        return PAGE_SIDE // self.cell

    @property
    def per_page(self) -> int:
        return self.per_row**2

    @property
    def pages(self) -> int:
        return -(-len(self.rows) // self.per_page)

    def without(self, slots: Sequence[int]) -> "AtlasLayout":
        """The layout with these slots free."""
        contents = self.contents.copy()
        contents[list(slots)] = FREE
        return AtlasLayout(self.cell, self.rows, contents)

    @property
    def used(self) -> Ids:
        """The slots that hold a picture, in ascending order."""
        return np.flatnonzero(self.contents)

    def used_on(self, page: int) -> Ids:
        first = page * self.per_page
        return first + np.flatnonzero(self.contents[first : first + self.per_page])

    def changed_on(self, page: int, earlier: "AtlasLayout") -> Ids:
        """The slots of a page that show something else than in an earlier layout, the ones that became free too."""
        rows, contents = self._cells(page)
        earlier_rows, earlier_contents = earlier._cells(page)
        return page * self.per_page + np.flatnonzero((rows != earlier_rows) | (contents != earlier_contents))

    def _cells(self, page: int) -> tuple[Ids, Contents]:
        """The slots of a whole page."""
        part = slice(page * self.per_page, (page + 1) * self.per_page)
        contents = np.zeros(self.per_page, np.uint64)
        contents[: len(self.contents[part])] = self.contents[part]
        rows = np.zeros(self.per_page, np.int64)
        rows[: len(self.rows[part])] = self.rows[part]
        rows[contents == FREE] = 0
        return rows, contents

    def corners(self, slots: Ids) -> tuple[Ids, Ids, Ids]:
        """Page, x and y of each slot."""
        page, place = np.divmod(slots, self.per_page)
        row, column = np.divmod(place, self.per_row)
        return page, column * self.cell, row * self.cell

    def size_of(self, page: int) -> tuple[int, int]:
        """Width and height in pixels: pages grow downwards, up to PAGE_SIDE, as they fill."""
        slots = min(self.per_page, len(self.rows) - page * self.per_page)
        return min(slots, self.per_row) * self.cell, -(-slots // self.per_row) * self.cell

    @cached_property
    def versions(self) -> list[str]:
        """16 hex digits for each page, which differ when the page does."""
        return [self._version_of(page) for page in range(self.pages)]

    def _version_of(self, page: int) -> str:
        rows, contents = self._cells(page)
        said = f"{FORMAT} {self.cell} {self.size_of(page)}".encode()
        return blake2b(
            said + rows.astype("<i8").tobytes() + contents.astype("<u8").tobytes(), digest_size=8
        ).hexdigest()

    def synced(self, rows: Ids, contents: Contents) -> "AtlasLayout":
        """The layout of just these pictures. New ones get the first free slots, in the order of `rows`."""
        shown = dict(zip(rows.tolist(), np.maximum(contents, _LEAST).tolist(), strict=True))
        held = zip(self.rows.tolist(), self.contents.tolist(), strict=True)
        slots = [(row, shown.pop(row)) if content and row in shown else None for row, content in held]
        new = iter(shown.items())
        filled = [slot or next(new, _NOTHING) for slot in slots] + list(new)
        while filled and filled[-1] == _NOTHING:
            filled.pop()
        return AtlasLayout(
            self.cell, np.array([row for row, _ in filled], np.int64), np.array([code for _, code in filled], np.uint64)
        )

    def same_as(self, other: "AtlasLayout") -> bool:
        return np.array_equal(self.contents, other.contents) and np.array_equal(self.rows, other.rows)

    def to_json(self, published_at: float) -> bytes:
        """`published_at` is the time of the state that it shows."""
        columns = {"rows": _packed(self.rows, "<i8"), "contents": _packed(self.contents, "<u8")}
        return orjson.dumps({"format": FORMAT, "published_at": published_at, "cell": self.cell, **columns})

    @classmethod
    def from_json(cls, data: bytes, cell: int) -> tuple[Self, float]:
        """The layout of this cell size and its `published_at`.

        Raises ValueError, KeyError, TypeError for what is no layout of this version.
        """
        found = orjson.loads(data)
        if (found["format"], found["cell"]) != (FORMAT, cell):
            raise ValueError("another format, or other cells")
        rows, contents = _unpacked(found["rows"], "<i8"), _unpacked(found["contents"], "<u8")
        if len(rows) != len(contents):
            raise ValueError("columns of different lengths")
        layout = cls(cell, rows.astype(np.int64), contents.astype(np.uint64))
        return layout, float(found["published_at"])


def _packed(column: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(column.astype(dtype).tobytes()).decode()


def _unpacked(text: str, dtype: str) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype)
