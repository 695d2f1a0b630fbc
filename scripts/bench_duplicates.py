"""How many copies of photographs are found, how many groups are wrong, and how long 100,000 pictures take.

    python -m scripts.bench_duplicates path/to/photos --model demo
    python -m scripts.bench_duplicates --pictures 100000

With photographs: copies of every few of them are written among the rest, all are indexed as a folder is, and the groups
of the same photo are compared with what was written. Without: made-up hashes and vectors of many pictures are compared.
"""

import io
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from PIL import Image, ImageEnhance, ImageOps
from PIL.Image import Resampling, Transpose
from rich.console import Console

from app import bootstrap
from app.catalog.view import View
from app.library.duplicates.groups import Kind
from app.library.duplicates.pairs import Comparer, Pictures, calibrate
from app.library.duplicates.service import compare
from app.pictures.formats import is_picture_name
from app.settings import IndexSettings, ModelSettings, Settings, StorageSettings
from app.types import Vectors
from indexer.plan import Options
from indexer.progress import SilentProgress
from indexer.run import run_index
from scripts.bench.machine import machine

say = Console(stderr=True).print

DIMENSION: Final = 512
"""Of CLIP ViT-B/32."""

Change = Callable[[Image.Image], Image.Image]


def cut(left: float, top: float, right: float, bottom: float) -> Change:
    """Without these shares of the width and height."""

    def change(image: Image.Image) -> Image.Image:
        width, height = image.size
        return image.crop(
            (round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom)))
        )

    return change


def framed(share: float, colour: str) -> Change:
    return lambda image: ImageOps.expand(image, max(1, round(share * min(image.size))), colour)


def scaled(share: float) -> Change:
    return lambda image: image.resize(
        (max(1, round(image.width * share)), max(1, round(image.height * share))), Resampling.LANCZOS
    )


def brighter(factor: float) -> Change:
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


CHANGES: Final[Mapping[str, tuple[Change, int]]] = {
    "half the size": (scaled(0.5), 90),
    "JPEG quality 30": (lambda image: image, 30),
    "cropped 5 % at each side": (cut(0.05, 0.05, 0.05, 0.05), 90),
    "cropped 5 % in all": (cut(0.025, 0.025, 0.025, 0.025), 90),
    "cropped 5 % at the top": (cut(0, 0.05, 0, 0), 90),
    "turned left": (lambda image: image.transpose(Transpose.ROTATE_90), 90),
    "turned right": (lambda image: image.transpose(Transpose.ROTATE_270), 90),
    "upside down": (lambda image: image.transpose(Transpose.ROTATE_180), 90),
    "flipped": (lambda image: image.transpose(Transpose.FLIP_LEFT_RIGHT), 90),
    "brighter by 30 %": (brighter(1.3), 90),
    "white border": (framed(0.05, "white"), 90),
    "black border": (framed(0.08, "black"), 90),
}
"""What was done to a copy, and the JPEG quality that it was saved with."""


def main(
    photos: Annotated[Path | None, typer.Argument(help="A folder of photographs; none: only the time.")] = None,
    *,
    model: Annotated[str, typer.Option(help="As MODEL.")] = "demo",
    every: Annotated[int, typer.Option(min=1, help="Copies are made of every N-th photograph.")] = 5,
    pictures: Annotated[int, typer.Option(min=0, help="Made-up pictures whose comparison is timed; 0: none.")] = 0,
) -> None:
    """Measure and print tables in Markdown."""
    print(machine("faiss-cpu", "numpy", "pillow"))
    if photos is not None:
        measure_quality(photos, model, every)
    if pictures:
        measure_time(pictures)


def measure_quality(photos: Path, model: str, every: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "photos"
        origin = write_library(photos, library, every)
        say(f"{len(origin)} pictures; indexing them with {model} ...")
        view = indexed(library, Path(folder) / "index", model)
        began = time.perf_counter()
        comparison = compare(view, burst_s=10)
        took_s = time.perf_counter() - began
        found = [
            [record.object_key for record in view.records_of(group.rows)] for group in comparison.groups[Kind.PHOTO]
        ]
    print(f"\n{photos.name}, {model}: {len(origin)} pictures, compared in {took_s:.1f} s")
    print(report(origin, found))


def write_library(photos: Path, library: Path, every: int) -> dict[str, tuple[str, str]]:
    """Copy the photographs, and write changed copies of some. By key: the photograph, and what was done to it."""
    origin: dict[str, tuple[str, str]] = {}
    sources = sorted(path for path in photos.rglob("*") if is_picture_name(path.name))
    for number, path in enumerate(sources):
        key = path.relative_to(photos).as_posix()
        place = library / key
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
        origin[key] = key, ""
        if number % every == 0:
            with Image.open(path) as opened:
                image = ImageOps.exif_transpose(opened).convert("RGB")
            for change_number, (name, (change, quality)) in enumerate(CHANGES.items()):
                copy = f"copies {change_number}/{number}.jpg"
                (library / copy).parent.mkdir(exist_ok=True)
                (library / copy).write_bytes(_jpeg(change(image), quality))
                origin[copy] = key, name
    return origin


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def indexed(library: Path, index: Path, model: str) -> View:
    """The index of a folder, made as `image2search index` makes it."""
    index.mkdir()
    settings = Settings(
        storage=StorageSettings(url=str(library)), index=IndexSettings(url=str(index)), model=ModelSettings(name=model)
    )
    parts = bootstrap.build(settings, for_batches=True)
    run = run_index(parts, Options(), SilentProgress())
    parts.decoders.close()
    snapshot = parts.catalog.load()
    if snapshot is None or run.failed or run.skipped:
        raise RuntimeError(str(run))
    return View(snapshot)


def report(origin: Mapping[str, tuple[str, str]], found: list[list[str]]) -> str:
    """Precision and recall by pairs of pictures, and by what was done to the copies."""
    group_of = {key: number for number, keys in enumerate(found) for key in keys}
    right = wrong = 0
    for keys in found:
        for one, other in combinations(keys, 2):
            if origin[one][0] == origin[other][0]:
                right += 1
            else:
                wrong += 1
    by_photo = defaultdict(list)
    done: dict[str, list[bool]] = defaultdict(list)
    for key, (photo, change) in origin.items():
        by_photo[photo].append(key)
        if change:
            done[change].append(key in group_of and group_of[key] == group_of.get(photo))
    pairs = sum(len(keys) * (len(keys) - 1) // 2 for keys in by_photo.values())
    copies = [was_found for each in done.values() for was_found in each]
    lines = [
        f"precision {right / max(right + wrong, 1):.4f} ({wrong} wrong pairs of {right + wrong}), recall of pairs "
        f"{right / max(pairs, 1):.4f}, copies found with their original {np.mean(copies):.4f}",
        "",
        "| copy | found |",
        "|---|---|",
        *(f"| {change} | {np.mean(each):.1%} |" for change, each in done.items()),
    ]
    return "\n".join(lines)


def measure_time(count: int) -> None:
    """Compare made-up pictures, one in twenty of them a copy."""
    say(f"Making {count} hashes and vectors ...")
    pictures, vectors = made_up(count)

    def read(rows: "list[int]") -> Vectors:
        return vectors[np.asarray(rows, np.int64)]

    began = time.perf_counter()
    comparer = Comparer(read, calibrate(pictures, read), burst_s=10)
    pairs = comparer.all_pairs(pictures)
    all_s = time.perf_counter() - began
    new = np.zeros(count, bool)
    new[count // 2] = True
    nothing = np.empty(0, np.int64)
    began = time.perf_counter()
    comparer.pairs_with(new, pictures, (nothing, nothing))
    one_s = time.perf_counter() - began
    print(f"\n{count:,} pictures, vectors of {DIMENSION}: {all_s:.1f} s for all, {len(pairs.first):,} pairs;")
    print(f"{one_s:.2f} s for one new picture among them, without the search for near vectors.")


def made_up(count: int) -> tuple[Pictures, Vectors]:
    """Hashes and vectors of scenes that many pictures resemble."""
    rng = np.random.default_rng(0)
    scenes = rng.standard_normal((count // 50 + 1, DIMENSION)).astype(np.float32)
    scene = rng.integers(0, len(scenes), count)
    vectors = 0.7 * scenes[scene] + rng.standard_normal((count, DIMENSION), np.float32)
    bits = rng.random((len(scenes), 256)) < 0.5
    hashes = np.packbits(bits[scene] ^ (rng.random((count, 256)) < 0.35), axis=1)
    centres = np.packbits(bits[scene] ^ (rng.random((count, 256)) < 0.35), axis=1)
    copies = np.arange(1, count, 20)
    vectors[copies] = vectors[copies - 1] + 0.2 * vectors[copies]
    hashes[copies] = hashes[copies - 1] ^ np.packbits(rng.random((len(copies), 256)) < 0.03, axis=1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    parts = np.stack([hashes, centres, hashes], axis=1)
    return Pictures(np.arange(count), parts, np.full(count, np.nan)), vectors


if __name__ == "__main__":
    typer.run(main)
