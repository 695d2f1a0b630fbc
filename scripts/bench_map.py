"""Cost of the map of a large library: `python -m scripts.bench_map --count 10000 100000`.

Makes up vectors in clusters, as unevenly near as those of pictures (`scripts.bench.workload`), publishes them, and
takes the times of: the first map (principal components), the same after a restart, answers, new pictures, and UMAP in
its process, while searches go on. CPU times are of all threads; wall times depend on what else the machine does.
"""

import argparse
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from app.catalog.bucket_backend import BucketBackend
from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.view import View
from app.library.map.cartography import Cartographer
from app.library.map.schemas import to_binary, to_json
from app.library.map.service import COMMAND, TEXTS
from app.library.map.store import MapStore
from app.settings import IndexSettings, VectorSettings
from app.storage.local import LocalStore
from app.types import ImageRecord, ModelIdentity, Vectors, hash_content, image_id_of
from scripts.bench.machine import machine

CLUSTERS, LATENT = 200, 32

ADDED = 100
"""Pictures that come at once after the layout was made."""

SEARCHES = 200


def vectors_of(count: int, dimension: int) -> Vectors:
    """Gaussian clusters of different sizes in a few dimensions, turned into the full space, with a little noise."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLUSTERS, LATENT)).astype(np.float32)
    shares = rng.dirichlet(np.full(CLUSTERS, 0.7))
    turn = np.linalg.qr(rng.standard_normal((dimension, LATENT)))[0].T.astype(np.float32)
    latent = centres[rng.choice(CLUSTERS, count, p=shares)] + 0.5 * rng.standard_normal((count, LATENT), np.float32)
    rows = latent @ turn + 0.05 * rng.standard_normal((count, dimension), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def record(number: int) -> ImageRecord:
    key = f"photos/{number % 97:02d}/{number:08d}.jpg"
    return ImageRecord(image_id_of(key), key, "1", hash_content(key.encode()), 1000, 1.6e9, 4000, 3000)


@contextmanager
def timed(name: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"  {name}: {time.perf_counter() - wall:,.3f} s, {time.process_time() - cpu:,.3f} s of CPU", flush=True)


def search_ms(view: View, queries: Vectors, is_over: Callable[[], bool] = lambda: True) -> list[float]:
    """Times of searches one after the other, at least `SEARCHES`, until `is_over`."""
    times: list[float] = []
    while len(times) < SEARCHES or not is_over():
        started = time.perf_counter()
        view.search(queries[len(times) % len(queries)], 10)
        times.append((time.perf_counter() - started) * 1000)
        time.sleep(0.01)
    return times


def percentiles(times: list[float]) -> str:
    return f"p50 {np.percentile(times, 50):.1f} ms, p95 {np.percentile(times, 95):.1f} ms"


def measure(count: int, dimension: int, *, with_umap: bool) -> None:
    print(f"{count:,} pictures, {dimension} dimensions")
    model = ModelIdentity("made/up", "f" * 32, dimension, "fp32", "none")
    vectors = vectors_of(count + ADDED, dimension)
    with tempfile.TemporaryDirectory(prefix="image2search-bench-") as name:
        folder = Path(name)
        (folder / "store").mkdir()
        store = LocalStore(folder / "store")
        catalog = Catalog(store, IndexSettings(), BucketBackend(store, VectorSettings()))
        catalog.publish(Changes(added=tuple(map(record, range(count))), vectors=vectors[:count]), model)
        snapshot = catalog.load()
        assert snapshot is not None
        views = [View(snapshot)]
        cartographer = Cartographer(MapStore(store), lambda: views[-1], has_umap=with_umap)
        _ = views[-1].columns  # other features need them too
        with timed("first map: principal components, kept"):
            answer = cartographer.chart(views[-1], None)
        words = vectors_of(len(TEXTS), dimension)
        with timed("answer with names"):
            answer = cartographer.chart(views[-1], words)
        with timed("after a restart"):
            Cartographer(MapStore(store), lambda: views[-1], has_umap=False).chart(views[-1], words)
        with timed("as JSON"):
            text = to_json(answer)
        with timed("in binary form"):
            binary = to_binary(answer)
        print(f"  sizes: JSON {len(text) / 1e6:.2f} MB, binary {len(binary) / 1e6:.2f} MB")
        for added in (1, ADDED):
            changes = Changes(added=tuple(map(record, range(count, count + added))), vectors=vectors[count:][:added])
            snapshot = catalog.publish(changes, model, since=snapshot)
            views.append(View(snapshot))
            _ = views[-1].columns
            with timed(f"{added} new, put beside their neighbours"):
                cartographer.current()
        if with_umap:
            measure_umap(cartographer, views[-1], folder, vectors)


def measure_umap(cartographer: Cartographer, view: View, folder: Path, queries: Vectors) -> None:
    with timed("UMAP: its input written"):
        laid_out = cartographer.write_input(folder)
    print(f"  searches before: {percentiles(search_ms(view, queries))}")
    started = time.perf_counter()
    with subprocess.Popen([*COMMAND, str(folder)], stdin=subprocess.PIPE) as process:
        during = search_ms(view, queries, lambda: process.poll() is not None)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall_s, cpu_s = time.perf_counter() - started, used.ru_utime + used.ru_stime
    print(f"  UMAP: {wall_s:,.1f} s, {cpu_s:,.1f} s of CPU of all such processes, {used.ru_maxrss / 1e6:.2f} GB")
    print(f"  searches meanwhile: {percentiles(during)}")
    with timed("UMAP: taken over, turned onto the map, kept"):
        cartographer.adopt(laid_out, np.load(folder / "points.npy"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--without-umap", action="store_true", help="measure the principal components only")
    options = parser.parse_args()
    print(machine("numpy", "faiss-cpu", "umap-learn", "numba"))
    for count in options.count:
        measure(count, options.dimension, with_umap=not options.without_umap)


if __name__ == "__main__":
    main()
