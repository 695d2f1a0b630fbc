"""Cost of publishing, loading, holding and changing a large index: `python -m scripts.bench_catalog`.

Publishes `--count` made-up pictures to a folder and loads them in another process, as a service would. Then adds one
picture and waits until that process, which polls, has found it. With several counts, `--plot` draws how cost grows.
"""

import argparse
import multiprocessing
import shutil
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from app.catalog.bucket_backend import BucketBackend
from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.layout import INDEX_PREFIX
from app.catalog.live import LiveCatalog
from app.settings import IndexSettings, VectorSettings
from app.storage.local import LocalStore
from app.types import ImageRecord, ModelIdentity, Vectors, image_id_of, row_id
from scripts.bench.machine import machine
from scripts.bench.plot import draw_lines
from scripts.bench.workload import Clusters

POLL_S = 1.0


def record(number: int) -> ImageRecord:
    key = f"collection-{number % 997:03d}/year-{number % 13}/picture-{number:09d}.jpg"
    image_id = image_id_of(key)
    return ImageRecord(image_id, key, image_id * 2, image_id * 2, 200_000, 1.7e9, 1024, 768)


def catalog_in(store: LocalStore, shape: str = "auto") -> Catalog:
    return Catalog(store, IndexSettings(), BucketBackend(store, VectorSettings.model_validate({"shape": shape})))


def memory_mb(*names: str) -> float:
    """Memory of this process in MB, as /proc counts it under these names."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) / 1024 for line in lines if line.partition(":")[0] in names)


def follow(root: Path, model: ModelIdentity, query: Vectors, pipe: Connection) -> None:
    """A replica: loads the index, sends how long that took, then polls until the picture of `query` is there."""
    store = LocalStore(root)
    live = LiveCatalog(catalog_in(store), model)
    before = memory_mb("RssAnon")
    started = time.perf_counter()
    live.refresh()
    snapshot = live.current
    snapshot.vectors.search(query, 10)
    took_s = time.perf_counter() - started
    times = []
    for _ in range(50):
        began = time.perf_counter()
        snapshot.vectors.search(query, 10)
        times.append(time.perf_counter() - began)
    pipe.send((took_s, memory_mb("RssAnon") - before, memory_mb("RssFile"), float(np.median(times)) * 1000))
    wanted = row_id(record(-1).image_id)
    while wanted not in live.current.records:
        time.sleep(POLL_S)
        live.refresh()
    ((row, _),) = live.current.vectors.search(query, 1)[0]
    pipe.send((time.time(), row == wanted))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--plot", type=Path, help="SVG to write")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--shape", default="auto", choices=["auto", "flat", "ivf_sq8", "ivf_rabitq"])
    args = parser.parse_args()
    print(machine("faiss-cpu"))
    series: dict[str, list[tuple[float, float]]] = {}
    for count in args.count:
        root = Path(tempfile.mkdtemp(prefix="image2search-bench-"))
        try:
            for name, value in measure(root, count, args.dimension, args.shape).items():
                series.setdefault(name, []).append((count, value))
        finally:
            shutil.rmtree(root)
    if args.plot:
        args.plot.write_text(draw_lines(series, "pictures"))


def measure(root: Path, count: int, dimension: int, shape: str) -> dict[str, float]:
    """Print all figures; return those that grow with the number of pictures."""
    model = ModelIdentity("made/up", "f" * 64, dimension, "fp32", "none")
    catalog = catalog_in(LocalStore(root), shape)
    clusters = Clusters(dimension, seed=0)
    vectors = clusters.draw(count, np.random.default_rng(1))[0]
    started = time.perf_counter()
    base = catalog.publish(Changes(tuple(record(number) for number in range(count)), vectors), model)
    publish_s = time.perf_counter() - started
    sizes = {path.name: path.stat().st_size for path in (root / INDEX_PREFIX).rglob("image_*")}
    del vectors
    query = clusters.draw(1, np.random.default_rng(2))[0]
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    replica = multiprocessing.get_context("spawn").Process(target=follow, args=(root, model, query, theirs))
    replica.start()
    load_s, own_mb, mapped_mb, search_ms = ours.recv()
    before = {path: path.stat().st_size for path in (root / INDEX_PREFIX).rglob("*.json")}
    started = time.perf_counter()
    catalog.publish(Changes((record(-1),), query), model, since=base)
    added_s, added_at = time.perf_counter() - started, time.time()
    after = [
        path for path in (root / INDEX_PREFIX).rglob("*.json") if path not in before or path.name == "current.json"
    ]
    found_at, is_right = ours.recv()
    replica.join()
    uploaded = sum(path.stat().st_size for path in after)
    per_picture = ", ".join(f"{name} {size / count:.0f}" for name, size in sizes.items())
    print(f"{count:,} x {dimension}: {base.pointer.accuracy}")
    print(f"published in {publish_s:.1f} s; bytes a picture: {per_picture}")
    print(
        f"ready after {load_s:.2f} s; own memory {own_mb:.0f} MB, mapped {mapped_mb:.0f} MB; search {search_ms:.2f} ms"
    )
    print(
        f"one more picture: {uploaded:,} bytes in {added_s * 1000:.0f} ms; the replica, which polls every {POLL_S:g} s,"
    )
    print(f"found it {found_at - added_at:.2f} s later" + ("" if is_right else ": ANOTHER PICTURE"))
    return {
        "publish, s": publish_s,
        "service ready, s": load_s,
        "one search, ms": search_ms,
        "own memory, MB": max(own_mb, 0.1),
        "one more picture, s": added_s,
    }


if __name__ == "__main__":
    main()
