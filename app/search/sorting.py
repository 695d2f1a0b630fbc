"""The relevant pictures by date instead of by score."""

from collections.abc import Sequence
from typing import Final, Literal

from app.search.hybrid import Match

MOST_SORTED: Final = 1000
"""Pictures, those with the best scores, that are looked at for relevant ones."""

LEAST_SORTED: Final = 0.5
"""Relevance from which on a picture is in a list by date, where the query gives no `min_relevance`."""

SORTED_BEST: Final = (
    f"By date stand only the {MOST_SORTED:,} best pictures: all of them are relevant, and there may be more."
)


def by_date(matches: Sequence[Match], sort: Literal["newest", "oldest"]) -> list[Match]:
    """By `ImageRecord.date`; of equal dates, by object key."""
    sign = -1 if sort == "newest" else 1
    return sorted(matches, key=lambda match: (sign * match.record.date, match.record.object_key))


def none_relevant(least: float) -> str:
    """The note of an answer that is empty because no picture has this relevance."""
    return (
        f"Only pictures of a relevance of {least:g} or more are sorted by date, and none has it. Give a lower "
        "`min_relevance`, or leave out `sort`."
    )
