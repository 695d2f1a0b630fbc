"""The metadata file: its format, files of other versions and damaged ones, and how little of a large file is read."""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from app.catalog import metadata
from app.catalog.metadata import read_metadata
from app.catalog.records import Records
from app.errors import IndexCorrupt
from app.types import Skip
from tests.support.catalogs import by_row, record, row_of

SKIPPED = {"x.jpg": Skip("x.jpg", "1", 'torn, says "the reader"')}


def test_the_file_is_json_that_anybody_reads(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    records = Records().changed(by_row({"a/1.jpg": "1", "2.jpg": "1"}), set())
    records.save(path, records.ids(), SKIPPED)
    content = orjson.loads(path.read_bytes())
    assert [item["object_key"] for item in content["images"]] == ["a/1.jpg", "2.jpg"]
    assert content["folders"] == ["a", ""]
    assert [item["reason"] for item in content["skipped"]] == ['torn, says "the reader"']


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
    parse = metadata.parse_record
    monkeypatch.setattr(metadata, "parse_record", lambda item: parsed.append(1) or parse(item))

    began_at = time.monotonic()
    records = Records(read_metadata(path)[0])
    assert records.folder_counts() == {"folder": count // 2, "b": count // 2}
    changed = records.changed(by_row({"a.jpg": "1"}), {7})
    assert (len(changed), 7 in changed, 8 in changed) == (count, False, True)
    assert records[123_456].image_id == f"{123_456:016x}"
    assert time.monotonic() - began_at < 5, "parsing 200,000 records takes longer on a busy machine"
    assert len(parsed) == 1
    assert sum(1 for _ in changed.values()) == count


def rewritten(
    path: Path, change: Callable[[dict[str, Any]], None], skip_change: Callable[[dict[str, Any]], None]
) -> None:
    """A file with one record and one skip, each after a change to its fields."""
    image, skip = asdict(record("a/1.jpg")), asdict(SKIPPED["x.jpg"])
    change(image)
    skip_change(skip)
    places = ["a"], np.zeros(1, np.int32)
    metadata.write_metadata(path, np.array([row_of("a/1.jpg")]), [orjson.dumps(image)], places, {})
    path.write_bytes(path.read_bytes().replace(b'"skipped":[]', b'"skipped":' + orjson.dumps([skip])))


def add_fields(item: dict[str, Any]) -> None:
    item["weather"] = {"name": "of a later version"}


def test_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "image_metadata.json"
    rewritten(path, add_fields, add_fields)
    path.write_bytes(path.read_bytes().replace(b'"format":2', b'"format":2,\n"cameras":["a"]'))
    base, skipped = read_metadata(path)
    expected = record("a/1.jpg")
    assert (base.record(0), base.take(np.array([0])), list(base.records())) == (expected, [expected], [expected])
    assert skipped == SKIPPED


def test_fields_that_an_earlier_version_did_not_write_have_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "image_metadata.json"
    rewritten(path, lambda image: image.pop("caption", None), lambda _: None)
    base, _ = read_metadata(path)
    assert base.record(0) == record("a/1.jpg")
    assert base.record(0).caption is None


def test_a_folded_record_keeps_the_fields_of_a_later_version(tmp_path: Path) -> None:
    path = tmp_path / "image_metadata.json"
    rewritten(path, add_fields, lambda _: None)
    records = Records(read_metadata(path)[0]).changed(by_row({"b/2.jpg": "1"}), set())
    folded = tmp_path / "folded.json"
    records.save(folded, records.ids(), {})
    assert b'"weather":{"name":"of a later version"}' in folded.read_bytes()


def test_a_record_without_a_field_that_is_needed_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "image_metadata.json"
    rewritten(path, lambda image: image.pop("etag"), lambda _: None)
    base, _ = read_metadata(path)
    for attempt in (lambda: base.record(0), lambda: base.take(np.array([0])), lambda: list(base.records())):
        with pytest.raises(IndexCorrupt, match=r"no etag.*--rebuild"):
            attempt()


def test_a_skip_without_a_field_that_is_needed_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "image_metadata.json"
    rewritten(path, lambda _: None, lambda skip: skip.pop("reason"))
    with pytest.raises(IndexCorrupt, match="--rebuild"):
        read_metadata(path)
