"""Pages of a view, while pictures come and go between them."""

import base64
import math
from collections.abc import Sequence
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.filters import Filters, Span
from app.errors import InvalidInput
from app.library.listing.service import PictureList, Position, Sort, find_page, read_cursor, write_cursor
from app.types import ImageRecord
from tests.support.catalogs import record, view_of

KEYS = [f"{folder}{name}" for folder in ("", "a/", "é/") for name in ("1.jpg", "10.jpg", "2.png")]
DATES = st.sampled_from([None, -1.0, 0.25, 1e9])
PICTURES = st.builds(
    lambda key, taken_at, added_at: replace(record(key), taken_at=taken_at, added_at=added_at),
    st.sampled_from(KEYS),
    DATES,
    DATES,
)
LISTS = st.builds(
    PictureList,
    st.sampled_from([Filters(), Filters(folders=("a", "é")), Filters(formats=("JPEG",)), Filters(date=Span(0))]),
    st.sampled_from(Sort),
    st.booleans(),
)


def place(item: ImageRecord, wanted: PictureList) -> tuple[float, str]:
    value = {Sort.KEY: 0.0, Sort.DATE: item.date, Sort.ADDED: item.added_at}[wanted.sort]
    return (-math.inf if value is None else value), item.object_key


def fits(item: ImageRecord, filters: Filters) -> bool:
    return (
        (not filters.folders or item.folder in filters.folders)
        and (not filters.formats or item.object_key.endswith("jpg"))
        and (filters.date.least is None or item.date >= filters.date.least)
    )


def expected(items: Sequence[ImageRecord], wanted: PictureList) -> list[str]:
    listed = [item for item in items if fits(item, wanted.filters)]
    listed.sort(key=lambda item: place(item, wanted), reverse=wanted.descending)
    return [item.object_key for item in listed]


def page(
    items: Sequence[ImageRecord], wanted: PictureList, limit: int, cursor: str | None
) -> tuple[list[str], str | None]:
    """The keys of a page, and the cursor of the next one; None for the last."""
    last = read_cursor(cursor, wanted) if cursor else None
    records, count = find_page(view_of(items), wanted, limit + 1, last)
    assert count == len(expected(items, wanted))
    shown = records[:limit]
    after = write_cursor(Position.of(shown[-1], wanted.sort), wanted) if len(records) > limit else None
    return [item.object_key for item in shown], after


@given(st.lists(PICTURES, unique_by=lambda item: item.object_key), LISTS, st.integers(1, 4), st.data())
def test_no_picture_comes_twice_and_none_is_left_out(
    items: list[ImageRecord], wanted: PictureList, limit: int, data: st.DataObject
) -> None:
    """Pictures come and go between pages; those that were there all the time come exactly once, in order."""
    seen: list[str] = []
    stayed, ever = {item.object_key: item for item in items}, {item.object_key: item for item in items}
    cursor = None
    while True:
        keys, cursor = page(items, wanted, limit, cursor)
        seen += keys
        if cursor is None:
            break
        coming = data.draw(st.lists(PICTURES, max_size=3, unique_by=lambda item: item.object_key))
        coming = [item for item in coming if item.object_key not in ever]
        going = data.draw(st.sets(st.sampled_from(KEYS), max_size=3))
        ever |= {item.object_key: item for item in coming}
        items = [item for item in [*items, *coming] if item.object_key not in going]
        stayed = {key: item for key, item in stayed.items() if key not in going}
    assert seen == expected([ever[key] for key in seen], wanted)
    assert set(expected(list(stayed.values()), wanted)) <= set(seen)


def test_a_cursor_of_a_picture_that_is_gone_goes_on_behind_it() -> None:
    items = [record(f"{number}.jpg") for number in range(5)]
    wanted = PictureList(Filters())
    keys, cursor = page(items, wanted, 2, None)
    assert keys == ["0.jpg", "1.jpg"]
    assert page([items[0], *items[2:]], wanted, 2, cursor)[0] == ["2.jpg", "3.jpg"]
    assert page([], wanted, 2, cursor) == ([], None)


@pytest.mark.parametrize(
    "other",
    [
        PictureList(Filters(), Sort.DATE, True),
        PictureList(Filters(), Sort.ADDED),
        PictureList(Filters(folders=("a",)), Sort.DATE),
    ],
)
def test_a_cursor_of_another_list_is_refused(other: PictureList) -> None:
    wanted = PictureList(Filters(), Sort.DATE)
    cursor = write_cursor(Position(1.5, "a/1.jpg"), wanted)
    assert read_cursor(cursor, wanted) == Position(1.5, "a/1.jpg")
    with pytest.raises(InvalidInput, match="another sort, order or filter"):
        read_cursor(cursor, other)


def changed(cursor: str) -> str:
    value, key, seal = orjson.loads(base64.urlsafe_b64decode(cursor + "=="))
    return base64.urlsafe_b64encode(orjson.dumps([value, key + "x", seal])).decode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda cursor: cursor[:-3],
        lambda cursor: cursor + "AAAA",
        changed,
        lambda cursor: "a/1.jpg",
        lambda cursor: "ü",
        lambda cursor: "2",
        lambda cursor: base64.b64encode(b'{"a": 1}').decode(),
        lambda cursor: base64.b64encode(b'["a", {}, []]').decode(),
        lambda cursor: base64.b64encode(b"[" * 5000).decode(),
    ],
)
def test_a_damaged_cursor_is_refused(damage) -> None:  # type: ignore[no-untyped-def]
    wanted = PictureList(Filters())
    with pytest.raises(InvalidInput, match="start again without one"):
        read_cursor(damage(write_cursor(Position(None, "a/1.jpg"), wanted)), wanted)
