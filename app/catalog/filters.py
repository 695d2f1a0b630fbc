"""Which pictures of a view are meant: by folder, format, size, date and tag."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.columns import Columns, Mask
from app.catalog.view import View
from app.pictures.formats import FORMATS
from app.types import Ids, in_folder


@dataclass(frozen=True, slots=True)
class Span:
    """What a number may be; None: any. Unknown numbers lie in no span but the whole one."""

    least: float | None = None
    below: float | None = None
    """Exclusive."""

    def mask(self, numbers: NDArray[Any]) -> Mask:
        least, below = -np.inf if self.least is None else self.least, np.inf if self.below is None else self.below
        return (numbers >= least) & (numbers < below)


ANY = Span()


@dataclass(frozen=True, slots=True)
class Filters:
    """A picture has to fit all of them; one that is left out fits every picture."""

    folders: tuple[str, ...] = ()
    """In or below one of these."""
    formats: tuple[str, ...] = ()
    """Of one of these, as `Format.name`."""
    size_bytes: Span = ANY
    pixels: Span = ANY
    """Width x height."""
    date: Span = ANY
    """When it was taken, or else last modified; seconds since the epoch, as in all dates."""
    modified: Span = ANY
    added: Span = ANY
    tags: tuple[str, ...] = ()
    """With all of these; upper and lower case are the same."""

    def rows(self, view: View) -> Ids:
        """The row ids of the pictures that fit, sorted by object key. To be called off the event loop."""
        return view.columns.rows[self.places(view.columns)]

    def places(self, columns: Columns) -> Ids:
        """The places of the pictures that fit, sorted by object key."""
        return columns.order[self.mask(columns)[columns.order]]

    def mask(self, columns: Columns) -> Mask:
        """(N,) whether each picture fits."""
        fits = np.ones(len(columns), bool)
        for span, numbers in (
            (self.size_bytes, columns.sizes_bytes),
            (self.pixels, columns.pixels),
            (self.date, columns.dates),
            (self.modified, columns.modified_at),
            (self.added, columns.added_at),
        ):
            if span != ANY:
                fits &= span.mask(numbers)
        if self.folders:
            fits &= self._in_folders(columns)
        if self.formats:
            codes = [code for code, each in enumerate(FORMATS) if each.name in self.formats]
            fits &= np.isin(columns.formats, codes)
        for tag in self.tags:
            fits &= _tagged(columns, tag)
        return fits

    def _in_folders(self, columns: Columns) -> Mask:
        inside = [any(in_folder(folder, wanted) for wanted in self.folders) for folder in columns.folders]
        return np.array(inside, bool)[columns.folder_codes]


def _tagged(columns: Columns, tag: str) -> Mask:
    wanted = [code for code, word in enumerate(columns.tags) if word.casefold() == tag.casefold()]
    fits = np.zeros(len(columns), bool)
    fits[columns.tagged[np.isin(columns.tag_codes, wanted)]] = True
    return fits
