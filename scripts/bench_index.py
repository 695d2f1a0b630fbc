"""How fast pictures on disk become a published index: ours beside plain loops, in one process, by turns.

    pip install -e '.[bench]'
    python -m scripts.bench_index --model vit-b-32

`ours` is a whole index run, from listing the bucket to the published generation, with the model loaded before. The
loops only go from files to vectors: read, decode, preprocess, encode. `ours, encoding alone` has the preprocessed
pictures in memory: nothing that reads files can be faster. `encoder busy` is the share of a run in which a batch is in
the model. The last line says what decoding JPEGs at a reduced size saves, and how near the vectors stay.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image
from rich.console import Console
from transformers import AutoImageProcessor

from app import bootstrap
from app.bootstrap.parts import DECODERS
from app.catalog.layout import INDEX_PREFIX
from app.models.base import ModelInputs, Towers
from app.models.calibration import SAMPLES, Calibration, spread
from app.models.checkpoint import Checkpoint, find_checkpoint
from app.models.embedder import DualEncoder
from app.models.hugging_face import SourceModel
from app.models.lazy import LazyEmbedder
from app.pictures.decoding import decode_image
from app.pictures.processes import DecoderProcesses
from app.settings import ImageSettings, IndexSettings, ModelSettings, Settings, StorageSettings
from app.types import Vectors
from indexer.plan import Options
from indexer.progress import SilentProgress
from indexer.run import run_index
from scripts.bench.architectures import named
from scripts.bench.machine import machine
from scripts.bench_encode import OnnxTowers

say = Console(stderr=True).print


@dataclass
class Way:
    """One way to go, and what was measured of it."""

    name: str
    go: Callable[[], float]
    """Goes through all pictures and answers the share of the time that the encoder was busy; nan where unknown."""
    per_s: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    def measure(self, pictures: int) -> None:
        began = time.perf_counter()
        self.busy.append(self.go())
        self.per_s.append(pictures / (time.perf_counter() - began))


class TimedTowers:
    """Towers that know how long pictures were in them."""

    def __init__(self, towers: Towers) -> None:
        self._towers = towers
        self.runtime, self.precision, self.agreement = towers.runtime, towers.precision, towers.agreement
        self.encode_texts = towers.encode_texts
        self.busy_s = 0.0

    def encode_images(self, inputs: ModelInputs) -> Vectors:
        began = time.perf_counter()
        vectors = self._towers.encode_images(inputs)
        self.busy_s += time.perf_counter() - began
        return vectors


class OwnRun:
    """Index runs of ours over a folder, each from nothing."""

    def __init__(self, settings: Settings, bucket: Path, embedder: DualEncoder) -> None:
        self._settings, self._bucket = settings, bucket
        self.towers = TimedTowers(embedder._towers)
        embedder._towers = self.towers
        self._embedder = embedder
        self._decoders = DecoderProcesses(DECODERS, settings.image.max_memory_bytes)

    def index(self) -> float:
        store = bootstrap.open_store(self._settings.storage)
        shutil.rmtree(self._bucket / INDEX_PREFIX, ignore_errors=True)
        model = LazyEmbedder(lambda: self._embedder.identity.fingerprint, lambda _: self._embedder)
        catalog = bootstrap.open_catalog(self._settings, store)
        parts = bootstrap.Parts(self._settings, store, catalog, model, store, self._decoders)
        self.towers.busy_s, began = 0.0, time.perf_counter()
        report = run_index(parts, Options(), SilentProgress())
        if report.embedded == 0 or report.failed or report.skipped:
            raise RuntimeError(str(report))
        return self.towers.busy_s / (time.perf_counter() - began)


def make_pictures(folder: Path, count: int, width: int, height: int) -> None:
    """JPEGs with as much detail as photographs have: samples, enlarged, with grain."""
    random = np.random.default_rng(0)
    samples = sorted(SAMPLES.rglob("*.jpg"))
    for number in range(count):
        with Image.open(samples[number % len(samples)]) as sample:
            pixels = np.asarray(sample.convert("RGB").resize((width, height), Image.Resampling.BICUBIC), np.int16)
        grain = random.normal(0, 8, (height // 2 + 1, width // 2 + 1, 1)).repeat(2, 0).repeat(2, 1)[:height, :width]
        Image.fromarray((pixels + grain.astype(np.int16)).clip(0, 255).astype(np.uint8)).save(
            folder / f"{number:05}.jpg", quality=85
        )


def in_batches(paths: Sequence[Path], size: int, encode: Callable[[list[Image.Image]], Any]) -> float:
    """Open, decode and encode, one batch after the other."""
    for start in range(0, len(paths), size):
        pictures = []
        for path in paths[start : start + size]:
            with Image.open(path) as picture:
                pictures.append(picture.convert("RGB"))
        encode(pictures)
    return float("nan")


def ways(
    checkpoint: Checkpoint, settings: Settings, embedder: DualEncoder, workplace: Path, paths: list[Path], batch: int
) -> list[Way]:
    """Everything that runs on this machine, the plain loop first."""
    processor: Any = AutoImageProcessor.from_pretrained(checkpoint.folder, backend="pil")
    source = SourceModel(checkpoint)
    network = source.load_network().eval()

    def plain(pictures: list[Image.Image]) -> None:
        with torch.inference_mode():
            network.get_image_features(**processor(pictures, return_tensors="pt"))

    found = [Way("transformers, PyTorch fp32", lambda: in_batches(paths, batch, plain))]
    try:
        from sentence_transformers import SentenceTransformer

        sentence = SentenceTransformer(str(checkpoint.folder), device="cpu", local_files_only=True)
        found.append(
            Way(
                "sentence-transformers",
                lambda: in_batches(
                    paths, batch, lambda pictures: sentence.encode(pictures, batch_size=batch, show_progress_bar=False)
                ),
            )
        )
    except (ImportError, ValueError) as error:
        say(f"sentence-transformers is left out: {error}")
    try:
        prepare = source.prepare
        pair = prepare.texts(["a", "b"]), prepare.images([Image.new("RGB", (300, 200))] * 2)
        onnx = OnnxTowers(network, workplace, *pair, settings.model.threads)
        found.append(
            Way(
                "ONNX Runtime fp32",
                lambda: in_batches(
                    paths, batch, lambda pictures: onnx.encode_images(dict(processor(pictures, return_tensors="np")))
                ),
            )
        )
    except ImportError:
        say("onnx and onnxruntime are not installed: left out")
    own = OwnRun(settings, paths[0].parent, embedder)
    read = [embedder.read_picture(path.read_bytes(), settings.image).image for path in paths]
    prepared = [
        embedder.prepare.images(read[start : start + settings.index.batch_size])
        for start in range(0, len(read), settings.index.batch_size)
    ]

    def alone() -> float:
        for inputs in prepared:
            own.towers.encode_images(inputs)
        return 1.0

    name = f"ours, {own.towers.precision} in {own.towers.runtime}"
    return [*found, Way(f"{name}: the whole run", own.index), Way(f"{name}: encoding alone", alone)]


def reduction(embedder: DualEncoder, paths: Sequence[Path]) -> str:
    """What reading with reduced decoding does to time and to vectors."""
    preprocessor, limits = embedder.prepare.images, ImageSettings()
    took: dict[str, list[float]] = {"full": [], "reduced": []}
    vectors: dict[str, list[Vectors]] = {"full": [], "reduced": []}
    for path in paths:
        data = path.read_bytes()
        for kind, read in (
            ("full", lambda data: preprocessor.shrink(decode_image(data, limits).image)),
            ("reduced", lambda data: preprocessor.read_picture(data, limits).image),
        ):
            began = time.perf_counter()
            picture = read(data)
            took[kind].append(1000 * (time.perf_counter() - began))
            vectors[kind].append(embedder.encode_images([picture])[0])
    cosine = (np.stack(vectors["full"]) * np.stack(vectors["reduced"])).sum(axis=1)
    full, reduced = (statistics.median(took[kind]) for kind in ("full", "reduced"))
    return (
        f"Reading a picture: {full:.1f} ms decoded in full, {reduced:.1f} ms reduced; cosine between the vectors"
        f" {cosine.mean():.4f} in the mean, {cosine.min():.4f} at least."
    )


def table(found: Sequence[Way]) -> str:
    """Markdown: medians over the rounds, and ratios to the plain loop and to encoding alone."""
    lines = ["| | images/s | x plain | of encoding alone | encoder busy |", "|---|---|---|---|---|"]
    plain, alone = statistics.median(found[0].per_s), statistics.median(found[-1].per_s)
    for each in found:
        per_s, busy = statistics.median(each.per_s), statistics.median(each.busy)
        share = "" if np.isnan(busy) else f"{100 * busy:.0f} %"
        lines.append(f"| {each.name} | {per_s:.1f} | {per_s / plain:.2f} | {per_s / alone:.2f} | {share} |")
    return "\n".join(lines)


def main(
    model: Annotated[str, typer.Option(help="name or folder, or vit-b-32, vit-b-16 with random weights")] = "vit-b-32",
    count: Annotated[int, typer.Option(min=2, help="pictures")] = 200,
    pictures: Annotated[Path | None, typer.Option(help="folder of JPEGs to take; else made ones")] = None,
    size: Annotated[tuple[int, int], typer.Option(help="width and height of made ones")] = (1024, 768),
    batch: Annotated[int, typer.Option(min=1, help="pictures in one pass of the loops")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="how often everybody's turn comes")] = 3,
    precision: Annotated[str, typer.Option(help="of ours, as PRECISION")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="0: as many as there are cores")] = 0,
) -> None:
    """Compare ways from files to an index."""
    threads = threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    with ExitStack() as stack:
        workplace = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image2search-bench-")))
        name = named(model, workplace)
        checkpoint, bucket = find_checkpoint(ModelSettings(name=name)), workplace / "bucket"
        bucket.mkdir()
        if pictures:
            for path in spread(sorted(pictures.rglob("*.jpg")), count):
                shutil.copy(path, bucket)
        else:
            say(f"making {count} pictures")
            make_pictures(bucket, count, *size)
        paths = sorted(bucket.glob("*.jpg"))
        mean_bytes = statistics.mean(path.stat().st_size for path in paths)
        settings = Settings(
            storage=StorageSettings(url=f"file://{bucket}"),
            model=ModelSettings(name=name, cache=workplace / "cache", precision=precision, threads=threads),  # type: ignore[arg-type]
            image=ImageSettings(),
            index=IndexSettings(),
        )
        own = Calibration("these pictures", True, lambda: map(Path.read_bytes, paths))
        embedder = bootstrap.load_embedder(settings.model, own, for_batches=True)
        assert isinstance(embedder, DualEncoder)
        read = reduction(embedder, paths[:100])
        found = ways(checkpoint, settings, embedder, workplace, paths, batch)
        for number in range(rounds):
            for each in found:
                say(f"round {number + 1} of {rounds}: {each.name}")
                each.measure(len(paths))
    print(machine("torch", "transformers", "openvino", "onnxruntime", "sentence-transformers"))
    kind = "" if pictures else f" of {size[0]} x {size[1]} pixels"
    print(f"{model}, {len(paths)} JPEGs{kind}, {mean_bytes / 1000:.0f} kB each, {threads} threads\n")
    print(table(found))
    print(f"\n{read}")


if __name__ == "__main__":
    typer.run(main)
