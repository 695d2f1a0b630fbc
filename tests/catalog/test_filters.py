"""Filters over a view, each against what the records say."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.catalog.filters import Filters, Span
from app.catalog.view import View
from app.types import ImageRecord
from tests.support.catalogs import record, view_of

PICTURES = [
    replace(record("a.jpg"), size_bytes=10, width=10, height=10, taken_at=100.0, tags=("Sea", "sun")),
    replace(record("b/c.PNG"), size_bytes=20, width=100_000, height=50_000, added_at=5.0, tags=("sea",)),
    replace(record("b/c/d.jpeg"), size_bytes=30, modified_at=300.0, format="WebP"),
    replace(record("bc/e"), size_bytes=40, taken_at=-5.0, added_at=7.0),
    replace(record("bc/f.jpg?width=9"), size_bytes=50, height=1),
]
Fits = Callable[[ImageRecord], bool]


def keys(filters: Filters, view: View | None = None) -> list[str]:
    view = view or view_of(PICTURES)
    return [item.object_key for item in view.records_of(filters.rows(view).tolist())]


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        (Filters(), lambda item: True),
        (Filters(folders=("b",)), lambda item: item.folder in ("b", "b/c")),
        (Filters(folders=("b/c", "bc")), lambda item: item.folder in ("b/c", "bc")),
        (Filters(folders=("never",)), lambda item: False),
        (Filters(formats=("JPEG",)), lambda item: item.object_key in ("a.jpg", "bc/f.jpg?width=9")),
        (Filters(formats=("WebP", "PNG")), lambda item: item.object_key in ("b/c.PNG", "b/c/d.jpeg")),
        (Filters(size_bytes=Span(20, 40)), lambda item: 20 <= item.size_bytes < 40),
        (Filters(size_bytes=Span(below=20)), lambda item: item.size_bytes < 20),
        (Filters(pixels=Span(100, 101)), lambda item: item.width * item.height == 100),
        (Filters(pixels=Span(5_000_000_000)), lambda item: item.width == 100_000),
        (Filters(date=Span(100, 301)), lambda item: item.object_key in ("a.jpg", "b/c/d.jpeg")),
        (Filters(date=Span(below=0)), lambda item: item.taken_at == -5),
        (Filters(modified=Span(300)), lambda item: item.modified_at == 300),
        (Filters(added=Span(6)), lambda item: item.added_at == 7),
        (Filters(added=Span(below=6)), lambda item: item.added_at == 5),
        (Filters(tags=("SEA",)), lambda item: item.object_key in ("a.jpg", "b/c.PNG")),
        (Filters(tags=("sea", "sun")), lambda item: item.object_key == "a.jpg"),
        (Filters(tags=("sand",)), lambda item: False),
        (Filters(folders=("b",), tags=("sea",), size_bytes=Span(20)), lambda item: item.object_key == "b/c.PNG"),
    ],
)
def test_a_filter(filters: Filters, fits: Fits) -> None:
    assert keys(filters) == sorted(item.object_key for item in PICTURES if fits(item))


def test_filters_leave_the_scope_as_it_is() -> None:
    assert keys(Filters(folders=("",)), view_of(PICTURES, ["b"])) == ["b/c.PNG", "b/c/d.jpeg"]
    assert keys(Filters(folders=("bc",)), view_of(PICTURES, ["b"])) == []


def test_an_empty_view() -> None:
    assert keys(Filters(folders=("b",), formats=("JPEG",), tags=("sea",), date=Span(1)), view_of([])) == []
