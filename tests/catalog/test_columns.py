"""Columns over records, against what the records themselves say."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.catalog.columns import UNKNOWN_FORMAT, Columns
from app.catalog.metadata import read_metadata
from app.catalog.records import Records
from app.catalog.view import View
from app.errors import IndexCorrupt
from app.pictures.formats import FORMATS, format_of_name
from app.pictures.perceptual import read_hashes
from app.storage.local import LocalStore
from app.types import ImageRecord, folder_of, image_id_of, row_id
from tests.support.catalogs import MODEL, adding, catalog_on, record, removing, row_of

KEYS = [f"{folder}{name}" for folder in ("", "a/", "a/b/", "ü\n/") for name in ("1.jpg", "2.PNG", "3", "4.heic")]


def described(key: str, content: str, tags: list[str], taken_at: float | None) -> ImageRecord:
    look = content * 4 if taken_at else None
    return replace(
        record(key),
        content_hash=content,
        tags=tuple(tags),
        taken_at=taken_at,
        added_at=taken_at and taken_at + 1,
        perceptual_hash=look,
        size_bytes=len(key),
        width=len(tags) + 1,
    )


RECORDS = st.builds(
    described,
    st.sampled_from(KEYS),
    st.sampled_from(["0" * 32, "f" * 32, "f" * 16 + "0" * 16, "no digits"]),
    st.lists(st.sampled_from("xyz"), unique=True),
    st.sampled_from([None, -1.5, 1e9]),
)
STEPS = st.lists(st.one_of(st.tuples(st.lists(RECORDS), st.sets(st.sampled_from(KEYS))), st.none()), max_size=6)


def reloaded(records: Records, path: Path) -> Records:
    records.save(path, records.ids(), {})
    base, _ = read_metadata(path)
    path.unlink()
    return Records(base)


def shown(columns: Columns, place: int) -> dict[str, object]:
    """What the columns say of one picture, as `said` says it of a record."""
    tags = {columns.tags[code] for code in columns.tag_codes[columns.tagged == place].tolist()}
    code = columns.formats[place]
    return {
        "folder": columns.folders[columns.folder_codes[place]],
        "size": columns.sizes_bytes[place],
        "key length": columns.key_lengths[place],
        "sides": (columns.widths[place], columns.heights[place]),
        "times": [columns.modified_at[place], columns.taken_at[place], columns.added_at[place], columns.dates[place]],
        "format": None if code == UNKNOWN_FORMAT else FORMATS[code],
        "hash": columns.hashes[place].tolist(),
        "tags": tags,
    }


def said(item: ImageRecord) -> dict[str, object]:
    times = [math.nan if time is None else time for time in (item.taken_at, item.added_at)]
    return {
        "folder": item.folder,
        "size": item.size_bytes,
        "key length": len(item.object_key),
        "sides": (item.width, item.height),
        "times": pytest.approx([item.modified_at, *times, item.date], nan_ok=True),
        "format": format_of_name(item.object_key),
        "hash": read_hashes([item.perceptual_hash or ""])[0].tolist(),
        "tags": set(item.tags),
    }


def check(records: Records) -> None:
    columns, items = records.columns, list(records.values())
    assert columns.rows.tolist() == list(records)
    for place, item in enumerate(items):
        assert shown(columns, place) == said(item)
    keys = [item.object_key for item in items]
    assert [keys[place] for place in columns.order] == sorted(keys)
    assert columns.ranks[columns.order].tolist() == list(range(len(keys)))
    for content in {item.content_hash for item in items} | {"1" * 32}:
        for folder in {item.folder for item in items} | {"never"}:
            same = [item for item in items if item.content_hash == content and item.folder == folder]
            assert records.find_content(content, folder) == min(same, key=lambda item: item.object_key, default=None)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_columns_say_what_the_records_say(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    """Each step changes the records, or (None) writes them to a file and reads them back."""
    path = tmp_path_factory.getbasetemp() / "columns.json"
    records = Records()
    for step in steps:
        if step is None:
            records = reloaded(records, path)
        else:
            added, gone = step
            records = records.changed({row_of(item.object_key): item for item in added}, set(map(row_of, gone)))
        check(records)


def test_many_records_of_a_file(tmp_path: Path) -> None:
    """More than are parsed together, and more keys than are sorted together."""
    keys = [f"{number * 7919 % 20_000:05d}.jpg" for number in range(20_000)]
    records = reloaded(Records().changed({row_of(key): record(key) for key in keys}, set()), tmp_path / "many.json")
    columns = records.columns
    assert columns.rows[columns.order].tolist() == [row_of(key) for key in sorted(keys)]
    changed = records.changed({row_of("00000.png"): record("00000.png")}, {row_of("00001.jpg")})
    expected = sorted({*keys, "00000.png"} - {"00001.jpg"})
    assert changed.columns.rows[changed.columns.order].tolist() == [row_of(key) for key in expected]


@pytest.mark.parametrize(("field", "value"), [("size_bytes", None), ("size_bytes", "many")])
def test_a_damaged_record_is_named(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "damaged.json"
    broken = replace(record("a.jpg"), **{field: value})
    Records().changed({row_of("a.jpg"): broken}, set()).save(path, np.array([row_of("a.jpg")]), {})
    if value is None:
        path.write_bytes(path.read_bytes().replace(b'"size_bytes":null,', b""))
    with pytest.raises(IndexCorrupt, match="--rebuild"):
        _ = Records(read_metadata(path)[0]).columns


def test_a_view_shows_the_columns_of_its_folders_only(tmp_path: Path) -> None:
    catalog = catalog_on(LocalStore(tmp_path))
    catalog.publish(adding("z.jpg", "a/1.jpg", "a/b/2.jpg", "ab/3.jpg"), MODEL)
    catalog.publish(adding("a/4.jpg", "ab/5.jpg"), MODEL)
    catalog.publish(removing("a/1.jpg"), MODEL)
    snapshot = catalog.load()
    assert snapshot is not None
    whole, part = View(snapshot), View(snapshot, ["a"])
    assert sorted_keys(whole) == ["a/4.jpg", "a/b/2.jpg", "ab/3.jpg", "ab/5.jpg", "z.jpg"]
    assert sorted_keys(part) == ["a/4.jpg", "a/b/2.jpg"]
    assert sorted_keys(View(snapshot, [])) == []
    content = record("ab/3.jpg").content_hash
    assert whole.find_content(content, "ab") == record("ab/3.jpg")
    assert part.find_content(content, "ab") is None
    assert whole.find_content(content, "a") is None


def sorted_keys(view: View) -> list[str]:
    columns = view.columns
    keys = [item.object_key for item in view.records_of(columns.rows[columns.order].tolist())]
    assert [columns.folders[code] for code in columns.folder_codes[columns.order]] == list(map(folder_of, keys))
    assert all(row_id(image_id_of(key)) == row for key, row in zip(keys, columns.rows[columns.order], strict=True))
    return keys
