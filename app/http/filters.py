"""Which pictures are meant, as lists, exports, selections and searches are asked."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from app.catalog.filters import Filters, Span
from app.http.openapi import Schema
from app.pictures.formats import FORMATS
from app.types import MAX_TAG_CHARS

_MAX_KEY_CHARS = 1024
_MOST_WORDS = 30
"""Together they fit into a request line."""
_DAY_S = 86_400

_FORMAT_NAMES = {name: each.name for each in FORMATS for name in (each.name.lower(), *(s[1:] for s in each.suffixes))}
"""By the name in lower case, and by each suffix."""


def _format_name(word: str) -> str:
    try:
        return _FORMAT_NAMES[word.strip().lower().removeprefix(".")]
    except KeyError:
        names = ", ".join(each.name for each in FORMATS)
        raise ValueError(f"no such format. There are {names}, and their suffixes") from None


def _moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value) if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("write a date as in 2024-05-31, or a time as in 2024-05-31T18:30:00Z") from None


Folders = Annotated[
    list[Annotated[str, Field(max_length=_MAX_KEY_CHARS)]],
    Field(max_length=_MOST_WORDS, description="in or below one of these folders", examples=[["nature"]]),
]
Formats = Annotated[
    list[Annotated[str, Field(json_schema_extra={"enum": list(_FORMAT_NAMES)}), AfterValidator(_format_name)]],
    Field(max_length=_MOST_WORDS, description="of one of these formats, by name or suffix", examples=[["jpeg", "png"]]),
]
Tags = Annotated[
    list[Annotated[str, Field(max_length=MAX_TAG_CHARS)]],
    Field(max_length=_MOST_WORDS, description="with all of these tags", examples=[["holiday"]]),
]
Number = Annotated[int | None, Field(ge=0, le=1 << 62)]
Moment = Annotated[datetime | date | None, BeforeValidator(_moment)]


class Conditions(Schema):
    """What pictures fit: those that fit everything that is given. Without a time zone, times are in UTC."""

    format: Formats = Field(default_factory=list)
    tag: Tags = Field(default_factory=list)
    min_bytes: Annotated[Number, Field(description="of the file", examples=[100_000])] = None
    max_bytes: Number = None
    min_pixels: Annotated[Number, Field(description="width x height", examples=[2_000_000])] = None
    max_pixels: Number = None
    date_from: Annotated[Moment, Field(description="taken, or else modified, then or later")] = None
    date_to: Annotated[Moment, Field(description="on this day or earlier; with a time of day: before it")] = None
    modified_from: Annotated[Moment, Field(description="last modified, as `date_from`")] = None
    modified_to: Annotated[Moment, Field(description="as `date_to`")] = None
    added_from: Annotated[Moment, Field(description="added to the library, as `date_from`")] = None
    added_to: Annotated[Moment, Field(description="as `date_to`")] = None

    def filters(self) -> Filters:
        return Filters(
            formats=tuple(sorted(set(self.format))),
            size_bytes=_numbers(self.min_bytes, self.max_bytes),
            pixels=_numbers(self.min_pixels, self.max_pixels),
            date=_times(self.date_from, self.date_to),
            modified=_times(self.modified_from, self.modified_to),
            added=_times(self.added_from, self.added_to),
            tags=tuple(sorted({tag.casefold() for tag in self.tag})),
        )


class PictureFilters(Conditions):
    """As `Conditions`, in some folders."""

    folder: Folders = Field(default_factory=list)

    def filters(self) -> Filters:
        folders = {spelling for folder in self.folder for spelling in _spellings(folder)}
        return replace(super().filters(), folders=tuple(sorted(folders)))


def _spellings(folder: str) -> tuple[str, str]:
    """As it was given, which may be right in S3, and without the slashes that people put around a folder."""
    return folder, "/".join(filter(None, folder.split("/")))


def _numbers(least: int | None, most: int | None) -> Span:
    return Span(least, None if most is None else most + 1)


def _times(first: date | None, last: date | None) -> Span:
    """A day is meant from its first to its last moment."""
    below = _seconds(last)
    if below is not None and not isinstance(last, datetime):
        below += _DAY_S
    return Span(_seconds(first), below)


def _seconds(moment: date | None) -> float | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
