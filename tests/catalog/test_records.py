"""Records over a metadata file, against a plain dict."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.catalog.metadata import read_metadata
from app.catalog.records import Records
from app.types import ImageRecord, Skip
from tests.support.catalogs import by_row, row_of

KEYS = st.sampled_from([f"{folder}{name}.jpg" for folder in ("", "a/", "a/b/", "ü\n/") for name in "123"])
CHANGES = st.tuples(st.dictionaries(KEYS, st.sampled_from("12")), st.sets(KEYS))

SKIPPED = {"x.jpg": Skip("x.jpg", "1", 'torn, says "the reader"')}


def reloaded(records: Records, path: Path) -> Records:
    records.save(path, records.ids(), SKIPPED)
    base, skipped = read_metadata(path)
    path.unlink()
    assert skipped == SKIPPED
    return Records(base)


def check(records: Records, expected: dict[int, ImageRecord]) -> None:
    assert len(records) == len(expected)
    assert list(records) == records.ids().tolist()
    assert dict(records.items()) == expected
    assert dict(zip(records, records.values(), strict=True)) == expected
    assert {row: records[row] for row in expected} == expected
    assert records.folder_counts() == Counter(item.folder for item in expected.values())
    for key in ("1.jpg", "a/1.jpg", "never.jpg"):
        assert (row_of(key) in records) == (row_of(key) in expected)
        assert records.get(row_of(key)) == expected.get(row_of(key))
    some = sorted(expected)[::-1][:3]
    assert records.take(some) == [expected[row] for row in some]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(CHANGES, st.none()), max_size=8))
def test_it_is_a_dict(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    """Each step changes the records, or (None) writes them to a file and reads them back."""
    path = tmp_path_factory.getbasetemp() / "records.json"
    records, expected = Records(), {}
    for step in steps:
        before, held = records, dict(expected)
        if step is None:
            records = reloaded(records, path)
        else:
            added, gone = by_row(step[0]), {row_of(key) for key in step[1]}
            records = records.changed(added, gone)
            expected = {row: item for row, item in expected.items() if row not in gone} | added
        check(records, expected)
        check(before, held)


@pytest.mark.parametrize("row", [0, -1, 1 << 63, -(1 << 63) - 1, 1 << 90, "a", None])
def test_what_is_no_row_is_not_here(tmp_path: Path, row: object) -> None:
    records = reloaded(Records().changed(by_row({"a.jpg": "1"}), set()), tmp_path / "records.json")
    assert row not in records
    if isinstance(row, int):
        assert records.get(row) is None


def test_records_are_written_in_the_order_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    first = reloaded(Records().changed(by_row({"a/1.jpg": "1", "a/2.jpg": "1", "3.jpg": "1"}), set()), path)
    records = first.changed(by_row({"4.jpg": "1", "a/2.jpg": "2"}), {row_of("3.jpg")})
    order = np.array([row_of(key) for key in ("4.jpg", "a/2.jpg", "a/1.jpg")])
    records.save(path, order, {})
    base, _ = read_metadata(path)
    assert base.ids.tolist() == order.tolist()
    assert [base.folders[code] for code in base.codes] == ["", "a", "a"]
    assert [(item.object_key, item.etag) for item in base.records()] == [
        ("4.jpg", "1"),
        ("a/2.jpg", "2"),
        ("a/1.jpg", "1"),
    ]
    with pytest.raises(KeyError):
        records.save(path, np.array([row_of("3.jpg")]), {})


def test_rows_that_are_gone_or_unknown_are_not_taken(tmp_path: Path) -> None:
    whole = reloaded(Records().changed(by_row({"a.jpg": "1", "b.jpg": "1"}), set()), tmp_path / "records.json")
    left = whole.changed(by_row({"c.jpg": "1"}), {row_of("a.jpg")})
    assert left.take([]) == []
    assert [item.object_key for item in left.take([row_of("c.jpg"), row_of("b.jpg")])] == ["c.jpg", "b.jpg"]
    for row in (row_of("a.jpg"), row_of("d.jpg")):
        with pytest.raises(KeyError):
            left.take([row_of("b.jpg"), row])
        with pytest.raises(KeyError):
            Records().take([row])
