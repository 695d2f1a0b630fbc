"""Cost of listing and exporting a large library: `python -m scripts.bench_lists --count 100000 1000000`.

Makes up `--count` pictures and lists them page by page: first as they lie in a metadata file, then with changes of the
journals on top. `--dimension` exports their vectors too. All times are CPU time, so that other work on the machine
hardly changes them.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from app.catalog.bucket_backend import empty_snapshot
from app.catalog.columns import Columns
from app.catalog.filters import Filters, Span
from app.catalog.metadata import read_metadata
from app.catalog.pointer import Pointer
from app.catalog.records import Records
from app.catalog.snapshot import Snapshot
from app.catalog.view import View
from app.library.export.service import FileKind, check_parquet, write
from app.library.listing.service import PictureList, Position, Sort, find_page
from app.settings import VectorSettings
from app.types import Ids, ImageRecord, ModelIdentity, hash_content, image_id_of, row_id
from app.vectors.faiss.store import FaissStore, Rows
from scripts.bench.machine import machine

LIMIT = 50
CHANGED = 1000
"""Pictures added since the metadata file was written."""


def record(number: int) -> ImageRecord:
    key = f"photos/{number % 997:03d}/IMG_{number * 7919 % 10_000_019:08d}.jpg"
    content = hash_content(key.encode())
    return ImageRecord(
        image_id_of(key),
        key,
        etag=content,
        content_hash=content,
        size_bytes=1000 + number,
        modified_at=1.6e9 + number,
        width=4000,
        height=3000,
        caption="a dog on a beach near the water" if number % 2 else None,
        tags=("beach",) if number % 50 == 0 else (),
        added_at=1.7e9 + number,
        taken_at=1.5e9 + 3 * number if number % 3 else None,
        camera="Canon EOS R5",
        format="JPEG",
        perceptual_hash=content * 4,
    )


def written(count: int) -> Records:
    """The pictures in a metadata file, as an index run leaves them."""
    added = {row_id(item.image_id): item for item in map(record, range(count))}
    records = Records().changed(added, set())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metadata.json"
        records.save(path, records.ids(), {})
        return Records(read_metadata(path)[0])


def snapshot_of(records: Records, dimension: int) -> Snapshot:
    model = ModelIdentity("made/up", "f" * 64, dimension, "fp32", "none")
    return replace(empty_snapshot(Pointer("00000001-0", "token", model, 0, 0, 0.0, ())), records=records)


def timed_ms(name: str, call: Callable[[], object], repeats: int = 1) -> None:
    """Print the least CPU time of some calls."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    print(f"  {name}: {min(times) * 1000:,.1f} ms")


def size_mb(columns: Columns) -> float:
    values = (getattr(columns, each.name) for each in fields(columns))
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray)) / 1e6


def measure(count: int, dimension: int) -> None:
    records = written(count)
    print(f"{count:,} pictures")
    timed_ms("columns, once for a metadata file", lambda: records.columns)
    print(f"  memory of the columns: {size_mb(records.columns):,.1f} MB")
    added = {row_id(item.image_id): item for item in map(record, range(count, count + CHANGED))}
    changed = records.changed(added, set())
    timed_ms(f"columns with {CHANGED:,} changes, at first", lambda: changed.columns)
    timed_ms("columns after a publication", lambda: records.changed(added, set()).columns, 5)
    snapshot = snapshot_of(changed, dimension or 1)
    for sort in Sort:
        wanted = PictureList(Filters(), sort)
        timed_ms(f"first page by {sort}, at first", lambda wanted=wanted: find_page(View(snapshot), wanted, LIMIT))
        middle = View(snapshot).records_of([int(changed.columns.rows[count // 2])])[0]
        last = Position.of(middle, sort)
        timed_ms(
            f"page in the middle by {sort}",
            lambda wanted=wanted, last=last: find_page(View(snapshot), wanted, LIMIT, last),
            5,
        )
    some = Filters(folders=("photos/001", "photos/500"), formats=("JPEG",), size_bytes=Span(2000), tags=("beach",))
    filtered = PictureList(some, Sort.DATE, descending=True)
    timed_ms("two folders, format, size, tag, by date", lambda: find_page(View(snapshot), filtered, LIMIT), 5)
    timed_ms("find_content", lambda: records.find_content(record(1).content_hash, "photos/001"), 5)
    if dimension:
        export(snapshot, dimension)


def stored(rows: Ids, dimension: int) -> FaissStore:
    """Made-up vectors in an index file, as an index run leaves them."""
    vectors = np.random.default_rng(0).standard_normal((len(rows), dimension)).astype(np.float32)
    store = FaissStore(dimension)
    store.add(rows, vectors, [""] * len(rows))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.bin"
        saved = store.save(path, VectorSettings(shape="flat"))
        return FaissStore.load(path, Rows(saved.ids, [""], np.zeros(len(rows), np.int32)), saved.accuracy)


def export(snapshot: Snapshot, dimension: int) -> None:
    check_parquet()
    view = View(replace(snapshot, vectors=stored(snapshot.records.ids(), dimension)))
    for kind in FileKind:
        sizes: list[int] = []
        timed_ms(
            f"export as {kind}",
            lambda kind=kind, sizes=sizes: sizes.extend(map(len, write(view, Filters(), kind, str))),
        )
        print(f"  {sum(sizes) / 1e6:,.0f} MB in chunks of at most {max(sizes) / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, nargs="+", default=[100_000])
    parser.add_argument("--dimension", type=int, default=0, help="of vectors to export; 0: no export")
    args = parser.parse_args()
    print(machine("numpy", "orjson"))
    for count in args.count:
        measure(count, args.dimension)


if __name__ == "__main__":
    main()
