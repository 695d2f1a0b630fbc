"""Which parts of a file a request asks for (RFC 9110, 14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from app.http.ranges import MAX_RANGES, ByteRange, asked_ranges

SIZE = 10
ETAG = '"one"'


def asked(header: str | None, *, size: int = SIZE, method: str = "GET", if_range: str | None = None) -> list | None:
    """As (first, last) of each part."""
    headers = {"range": header, "if-range": if_range}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items() if value is not None]
    parts = asked_ranges(Request({"type": "http", "method": method, "headers": raw}), ETAG, size)
    return None if parts is None else [(part.start, part.end - 1) for part in parts]


@pytest.mark.parametrize(
    ("header", "parts"),
    [
        ("bytes=0-0", [(0, 0)]),
        ("bytes=2-4", [(2, 4)]),
        ("bytes=2-", [(2, 9)]),
        ("bytes=2-99", [(2, 9)]),
        ("bytes=-3", [(7, 9)]),
        ("bytes=-99", [(0, 9)]),
        ("BYTES=9-", [(9, 9)]),
        ("bytes= 1-2 ,\t5-6", [(1, 2), (5, 6)]),
        ("bytes=1-2,,5-6,", [(1, 2), (5, 6)]),
        ("bytes=7-8,0-1", [(7, 8), (0, 1)]),
        ("bytes=0-1,2-3", [(0, 1), (2, 3)]),
        ("bytes=5-7,0-1,6-8", [(0, 1), (5, 8)]),
        ("bytes=0-,0-,0-", [(0, 9)]),
        ("bytes=1-2,10-", [(1, 2)]),
    ],
)
def test_satisfiable_parts(header: str, parts: list[tuple[int, int]]) -> None:
    assert asked(header) == parts


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0", "bytes=10-,-0"])
def test_parts_behind_the_end_are_none(header: str) -> None:
    assert asked(header) == []


def test_an_empty_file_has_no_part() -> None:
    assert [asked(header, size=0) for header in ("bytes=0-", "bytes=-1", "bytes=0-0")] == [[], [], []]


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "bytes=", "bytes=,", "bytes", "bytes=-", "bytes=a-b", "bytes=1", "bytes=1-2-3", "bytes=3-2"),
        *("items=0-1", "bytes=0-1;5-6", "bytes=+1-2", "bytes=0x1-2", "bytes=\xb2-3", "bytes=1-2,x", "bytes: 0-1"),
        "bytes=" + ",".join(["0-0"] * (MAX_RANGES + 1)),
        "bytes=0-" + "9" * 4000,
    ],
)
def test_what_is_no_range_asks_for_the_whole_file(header: str | None) -> None:
    assert asked(header) is None


def test_only_get_has_ranges() -> None:
    assert asked("bytes=0-1", method="HEAD") is None


@pytest.mark.parametrize("validator", ['"two"', 'W/"one"', "one", "*", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_file_that_changed_is_sent_whole(validator: str) -> None:
    """Only the strong etag holds; we send no date that could."""
    assert asked("bytes=0-1", if_range=validator) is None
    assert asked("bytes=0-1", if_range=ETAG) == [(0, 1)]


@given(st.text(st.sampled_from("0123456789-,= x"), max_size=30), st.integers(0, 50))
def test_any_header_is_understood_or_not(text: str, size: int) -> None:
    """Parts lie in the file and do not overlap."""
    data = bytes(range(size))
    parts = asked(f"bytes={text}", size=size)
    covered = [byte for first, last in parts or [] for byte in data[first : last + 1]]
    assert len(covered) == len(set(covered)) == sum(last - first + 1 for first, last in parts or [])


def test_the_header_of_a_part() -> None:
    assert ByteRange(2, 3).header(10) == "bytes 2-4/10"
