"""Vectors and records as files: what is written is what is in the index."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.catalog.filters import Filters
from app.catalog.snapshot import Snapshot
from app.catalog.view import View
from app.library.export import service as export
from app.library.export.service import FileKind, write
from app.storage.local import LocalStore
from app.types import Source, image_id_of
from tests.support.catalogs import DIMENSION, MODEL, adding, catalog_on, row_of, vector
from tests.support.service import KEYS

SOURCE = Source("https://example.org/1.jpg", creator="Ann", license="CC BY 2.0")
ALL = sorted(KEYS)


def uri(key: str) -> str:
    return f"s3://bucket/{key}"


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """One picture has everything that can be known of it, the others have little."""
    changes = adding(*KEYS)
    full = replace(
        changes.added[0],
        caption="a cat",
        caption_by="person",
        tags=("pet", "ü"),
        format="JPEG",
        added_at=1.75e9,
        taken_at=-1.5,
        camera="Canon",
        location=(52.5, -13.25),
        perceptual_hash="00ff" * 4,
        source=SOURCE,
    )
    catalog = catalog_on(LocalStore(tmp_path))
    catalog.publish(replace(changes, added=(full, *changes.added[1:])), MODEL)
    snapshot = catalog.load()
    assert snapshot is not None
    return snapshot


@pytest.fixture
def view(snapshot: Snapshot) -> View:
    return View(snapshot)


@pytest.fixture(params=[1, 3, 1000])
def _in_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are read together."""
    monkeypatch.setattr(export, "MOST_ROWS", request.param)


def written(view: View, kind: FileKind, filters: Filters = Filters()) -> io.BytesIO:  # noqa: B008 - frozen
    return io.BytesIO(b"".join(write(view, filters, kind, uri)))


@pytest.mark.usefixtures("_in_blocks")
def test_npz(view: View) -> None:
    file = np.load(written(view, FileKind.NPZ), allow_pickle=False)
    assert file["object_keys"].tolist() == ALL
    assert file["image_ids"].tolist() == [image_id_of(key) for key in ALL]
    np.testing.assert_array_equal(file["vectors"], [vector(key) for key in ALL])
    assert file["vectors"].dtype == np.float32
    assert set(file["widths"].tolist()) == {64}
    assert set(file["heights"].tolist()) == {48}
    assert file["sizes_bytes"].tolist() == [1000] * len(ALL)
    assert file["modified_at"].tolist() == [1.5] * len(ALL)
    place = ALL.index(KEYS[0])
    assert file["taken_at"][place] == -1.5
    assert file["added_at"][place] == 1.75e9
    assert np.isnan(np.delete(file["taken_at"], place)).all()
    records = [json.loads(line) for line in file["records.jsonl"].splitlines()]
    assert [record["object_key"] for record in records] == ALL
    assert (records[place]["s3_path"], records[place]["tags"]) == (uri(KEYS[0]), ["pet", "ü"])
    assert json.loads(file["about.json"]) == {
        "generation": view.generation,
        "model": MODEL.name,
        "fingerprint": MODEL.fingerprint,
        "dimension": str(DIMENSION),
    }


@pytest.mark.usefixtures("_in_blocks")
def test_parquet(view: View) -> None:
    table = pq.read_table(written(view, FileKind.PARQUET))
    rows = table.to_pylist()
    assert [row["object_key"] for row in rows] == ALL
    np.testing.assert_array_equal([row["embedding"] for row in rows], [vector(key) for key in ALL])
    full = rows[ALL.index(KEYS[0])]
    assert (full["caption"], full["caption_by"], full["tags"]) == ("a cat", "person", ["pet", "ü"])
    assert (full["latitude"], full["longitude"], full["camera"]) == (52.5, -13.25, "Canon")
    assert full["source"] == {
        **dict.fromkeys(("page_url", "title", "license_url", "attribution")),
        **{"url": SOURCE.url, "creator": "Ann", "license": "CC BY 2.0"},
    }
    assert full["taken_at"].isoformat() == "1969-12-31T23:59:58.500000+00:00"
    assert full["added_at"].isoformat() == "2025-06-15T15:06:40+00:00"
    assert (full["s3_path"], full["folder"], full["format"]) == (uri(KEYS[0]), "animals", "JPEG")
    other = rows[ALL.index("top.png")]
    assert (other["folder"], other["tags"], other["taken_at"], other["source"]) == ("", [], None, None)
    assert table.schema.metadata[b"fingerprint"].decode() == MODEL.fingerprint
    assert table.schema.field("embedding").type.list_size == DIMENSION


@pytest.mark.parametrize("kind", FileKind)
def test_only_what_fits_and_what_may_be_seen(snapshot: Snapshot, kind: FileKind) -> None:
    view, seen = View(snapshot), View(snapshot, ["nature"])
    assert keys(written(seen, kind), kind) == [key for key in ALL if key.startswith("nature")]
    assert keys(written(view, kind, Filters(folders=("animals",))), kind) == ALL[:2]
    assert keys(written(seen, kind, Filters(folders=("animals",))), kind) == []


def keys(file: io.BytesIO, kind: FileKind) -> list[str]:
    if kind is FileKind.PARQUET:
        return pq.read_table(file)["object_key"].to_pylist()
    loaded = np.load(file)
    assert loaded["vectors"].shape == (len(loaded["object_keys"]), DIMENSION)
    return loaded["object_keys"].tolist()


@pytest.mark.parametrize("kind", FileKind)
def test_a_file_comes_in_small_chunks(view: View, kind: FileKind, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory that it takes depends on the chunks, not on the file."""
    monkeypatch.setattr(export, "BLOCK_BYTES", 2 * 4 * DIMENSION)
    chunks = list(write(view, Filters(), kind, uri))
    assert len(chunks) > len(ALL) / 2
    whole = b"".join(chunks)
    assert keys(io.BytesIO(whole), kind) == ALL
    assert max(map(len, chunks[:-1])) < 0.6 * len(whole)


@pytest.mark.parametrize("kind", FileKind)
def test_pictures_without_a_vector_are_left_out(snapshot: Snapshot, kind: FileKind) -> None:
    """A vector server may have lost some."""
    lost = snapshot.vectors.copy()
    lost.remove([row_of("top.png")])
    drifted = replace(snapshot, pointer=replace(snapshot.pointer, collection="c"), vectors=lost)
    assert keys(written(View(drifted), kind), kind) == [key for key in ALL if key != "top.png"]
