"""Records over a metadata file, against a plain dict, and how little of a large file is read."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.catalog import metadata
from app.catalog.metadata import read_metadata
from app.catalog.records import Records
from app.errors import IndexCorrupt
from app.types import ImageRecord, Skip, row_id
from tests.support.catalogs import record

KEYS = st.sampled_from([f"{folder}{name}.jpg" for folder in ("", "a/", "a/b/", "ü\n/") for name in "123"])
CHANGES = st.tuples(st.dictionaries(KEYS, st.sampled_from("12")), st.sets(KEYS))

SKIPPED = {"x.jpg": Skip("x.jpg", "1", 'torn, says "the reader"')}


def row_of(key: str) -> int:
    return row_id(record(key).image_id)


def by_row(etags: dict[str, str]) -> dict[int, ImageRecord]:
    return {row_of(key): record(key, etag) for key, etag in etags.items()}


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


def test_the_file_is_json_that_anybody_reads(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    records = Records().changed(by_row({"a/1.jpg": "1", "2.jpg": "1"}), set())
    records.save(path, records.ids(), SKIPPED)
    content = orjson.loads(path.read_bytes())
    assert [item["object_key"] for item in content["images"]] == ["a/1.jpg", "2.jpg"]
    assert content["folders"] == ["a", ""]
    assert [item["reason"] for item in content["skipped"]] == ['torn, says "the reader"']


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


def written(path: Path, keys: tuple[str, ...] = ("a/1.jpg", "2.jpg")) -> bytes:
    records = Records().changed(by_row(dict.fromkeys(keys, "1")), set())
    records.save(path, records.ids(), {})
    return path.read_bytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"format":2', b'"format":1'),
        (b'"format":2', b'"former":2'),
        (b'"ids":"', b'"ids":"AAAAAAAAAAA='),
        (b'"ids":"', b'"ids":"%%'),
        (b'"folder_codes":"AAAAAA', b'"folder_codes":"BwAAAA'),
        (b'"folders":[', b'"folders":7,"x":['),
        (b'"images":[\n', b'"images":['),
        (b"},\n{", b"},{"),
        (b'"skipped":[', b'"skipped":[3'),
    ],
)
def test_a_file_of_another_make_is_corrupt(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = tmp_path / "image_metadata.json"
    data = written(path)
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    with pytest.raises(IndexCorrupt, match="--rebuild"):
        read_metadata(path)


@pytest.mark.parametrize("data", [b"", b"\n", b"{}", b"[]\n" * 100, b'{"format":2,\n"images":[\n]}\n'])
def test_what_is_no_metadata_is_corrupt(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image_metadata.json"
    path.write_bytes(data)
    with pytest.raises(IndexCorrupt, match=r"image_metadata\.json"):
        read_metadata(path)


def test_a_large_file_is_mapped_and_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 200_000
    path = tmp_path / "image_metadata.json"
    line = orjson.dumps(replace(record("folder/name.jpg"), image_id="0" * 16))
    ids = np.random.default_rng(0).permutation(count).astype(np.int64)
    places = ["folder", "b"], (ids % 2).astype(np.int32)
    metadata.write_metadata(path, ids, (line.replace(b"0" * 16, b"%016x" % row) for row in ids.tolist()), places, {})
    parsed = []
    parse = metadata._record
    monkeypatch.setattr(metadata, "_record", lambda item: parsed.append(1) or parse(item))

    began_at = time.monotonic()
    records = Records(read_metadata(path)[0])
    assert records.folder_counts() == {"folder": count // 2, "b": count // 2}
    changed = records.changed(by_row({"a.jpg": "1"}), {7})
    assert (len(changed), 7 in changed, 8 in changed) == (count, False, True)
    assert records[123_456].image_id == f"{123_456:016x}"
    assert time.monotonic() - began_at < 5, "parsing 200,000 records takes longer on a busy machine"
    assert len(parsed) == 1
    assert sum(1 for _ in changed.values()) == count


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
