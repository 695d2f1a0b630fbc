"""How often an answer rightly says that nothing fits, and whether fewer hubs find more captions.

    python -m scripts.bench_relevance samples
    python -m scripts.bench_relevance path/to/photos --model path/to/model
    python -m scripts.bench_relevance path/to/photos --model path/to/model --captions path/to/captions.csv
    python -m scripts.bench_relevance --pictures 100000

A folder is indexed as `image2search index` does it, then queries that fit something and queries that fit nothing are
judged, by the relevance and by the rival, a flat cut-off on the cosine. Every cut-off is chosen on other queries than
those that are reported; of the words of things, the English ones chose the parameters of the relevance. With
`--captions` (`image,caption` lines, images by file name) captions look for their own pictures, with and without the
correction of hubs. With `--pictures` searches of made-up pictures are timed, with and without the relevance of what
they find.
"""

import csv
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from rich.console import Console

from app import bootstrap
from app.catalog.changes import Changes
from app.catalog.hubs import WEIGHT, depth_of, examine
from app.catalog.view import View
from app.models.bank import Bank, bank_texts, load_bank
from app.models.base import Embedder
from app.search.relevance.relevance import Scales, make_scales
from app.search.relevance.scale import Floats
from app.settings import IndexSettings, ModelSettings, SearchSettings, Settings, StorageSettings
from app.storage.local import LocalStore
from app.types import ModelIdentity, Vectors, row_id
from indexer.plan import Options
from indexer.progress import SilentProgress
from indexer.run import run_index
from scripts.bench.machine import machine
from scripts.bench.workload import Clusters
from scripts.bench_catalog import catalog_in
from scripts.bench_catalog import record as made_up_record
from scripts.train_demo_clip.make_samples import SAMPLE_LIST, read_list
from scripts.train_demo_clip.vocabulary import read_kinds, read_words

say = Console(stderr=True).print

QUERIES: Final = Path(__file__).parent / "bench" / "relevance"
DEMO: Final = Path(__file__).parent / "train_demo_clip"
HITS: Final = 5
"""Pictures that an answer has."""

DIMENSION: Final = 512
"""Of made-up vectors, as CLIP ViT-B/32 has."""

ROUNDS: Final = 200
"""Searches that are timed."""


@dataclass(frozen=True)
class Queries:
    """Queries that fit a picture of the library, and queries that fit none."""

    on: list[str]
    off: list[str]


@dataclass(frozen=True)
class Library:
    """An indexed folder, and what is needed to search it."""

    view: View
    embedder: Embedder
    scales: Scales


@dataclass(frozen=True)
class Judged:
    """What is said of the answers to some queries, one value for each."""

    cosine: Floats
    relevance: Floats
    good: "np.ndarray[tuple[int], np.dtype[np.bool_]]"


def main(
    folder: Annotated[
        Path, typer.Argument(help="pictures; `samples` are judged with the queries for the samples")
    ] = Path("samples"),
    model: Annotated[str, typer.Option(help="as MODEL")] = "demo",
    captions: Annotated[Path | None, typer.Option(help="CSV: image, caption")] = None,
    pictures: Annotated[int, typer.Option(help="time searches of this number of made-up pictures")] = 0,
) -> None:
    """Index the folder and print a table in Markdown."""
    with tempfile.TemporaryDirectory() as workplace:
        if pictures:
            print(f"{machine()}\n\n{times(Path(workplace), pictures)}")
            return
        library = indexed(folder.resolve(), Path(workplace), model)
        print(f"{machine()}. {len(library.view)} pictures, model {library.embedder.identity.name}.\n")
        if captions:
            print(hubs(library, captions))
        else:
            print(report(library, *queries_for(folder)))
            if is_samples(folder):
                print(report_words(library))


def queries_for(folder: Path) -> tuple[Queries, Queries]:
    """Queries to choose thresholds on, and queries to report on."""
    if is_samples(folder):
        tuning = Queries(read(QUERIES / "on_topic_tuning.txt"), read(QUERIES / "off_topic_tuning.txt"))
        return tuning, Queries(read(QUERIES / "on_topic.txt"), read(DEMO / "off_topic_queries.txt"))
    on, off = read(QUERIES / "on_topic_photos.txt"), read(QUERIES / "off_topic_photos.txt")
    return Queries(on[1::2], off[1::2]), Queries(on[::2], off[::2])


def is_samples(folder: Path) -> bool:
    return folder.resolve() == Path("samples").resolve()


def words_of_things(words: Mapping[str, Mapping[str, Sequence[str]]], languages: Sequence[str]) -> Queries:
    """Words alone, of things in some languages: those that fit a sample, and those that fit none."""
    shown = {item.label for sample in read_list(SAMPLE_LIST.read_text("utf-8")) for item in sample.items}
    meant = [(label, word) for label, table in words.items() for each in languages for word in table.get(each, ())]
    on = {word for label, word in meant if label in shown}
    return Queries(sorted(on), sorted({word for _, word in meant} - on))


def report_words(library: Library) -> str:
    """Broad words ("food") and narrow ones ("kitten"), of which the English ones chose the parameters."""
    tables = {
        "broad": read_kinds((DEMO / "kinds.txt").read_text("utf-8")),
        "narrow": read_words((DEMO / "words.txt").read_text("utf-8"))[0],
    }
    lines = [
        "",
        "| words | fit: said so | fit nothing: said so | ROC-AUC of the relevance | of the cosine |",
        "|---|---|---|---|---|",
    ]
    for name, table in tables.items():
        for languages in (("en",), ("de", "fr", "es")):
            queries = words_of_things(table, languages)
            on, off = judge(library, queries.on), judge(library, queries.off)
            lines.append(
                f"| {name}, {', '.join(languages)}: {len(queries.on):,} + {len(queries.off):,} "
                f"| {on.good.mean():.1%} | {1 - off.good.mean():.1%} "
                f"| {area(on.relevance, off.relevance):.3f} | {area(on.cosine, off.cosine):.3f} |"
            )
    return "\n".join(lines)


def read(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]


def indexed(folder: Path, workplace: Path, model: str) -> Library:
    """The library of a folder, whose index is kept in `workplace`."""
    say(f"Indexing {folder} ...")
    settings = Settings(
        storage=StorageSettings(url=str(folder)),
        index=IndexSettings(url=str(workplace)),
        model=ModelSettings(name=model),
        search=SearchSettings(relevance=True),
    )
    parts = bootstrap.build(settings, for_batches=True)
    run_index(parts, Options(), SilentProgress())
    parts.decoders.close()
    snapshot = parts.catalog.load()
    if snapshot is None:
        raise RuntimeError(f"{folder} has no pictures.")
    view = View(snapshot)
    bank = load_bank(settings.model.cache.expanduser(), parts.model.embedder)
    return Library(view, parts.model.embedder, make_scales(view, bank))


def judge(library: Library, queries: Sequence[str]) -> Judged:
    """Search for each of the queries as the service does."""
    cosines, relevances, good = [], [], []
    for vector in library.embedder.encode_texts(queries):
        found = library.view.search(vector, HITS)
        judgement = library.scales.judge("text", vector, found, library.view)
        cosines.append(found[0][1])
        relevances.append(max(judgement.relevances))
        good.append(judgement.good_match)
    return Judged(np.array(cosines), np.array(relevances), np.array(good))


def report(library: Library, tuning: Queries, reported: Queries) -> str:
    """The relevance and its rival on the same queries."""
    tuning_on, tuning_off = judge(library, tuning.on), judge(library, tuning.off)
    on, off = judge(library, reported.on), judge(library, reported.off)
    lines = [
        f"{len(reported.on)} queries that fit, {len(reported.off)} that do not; cuts chosen on "
        f"{len(tuning.on)} and {len(tuning.off)} others. {library.scales.texts.line}",
        "",
        "| judged by | fits: said so | fits nothing: said so | ROC-AUC | accuracy |",
        "|---|---|---|---|---|",
        f"| `good_match` | {on.good.mean():.1%} | {1 - off.good.mean():.1%} | | |",
    ]
    for name in ("relevance", "cosine"):
        ours, theirs = getattr(on, name), getattr(off, name)
        threshold = best_threshold(getattr(tuning_on, name), getattr(tuning_off, name))
        said, unsaid = (ours >= threshold).mean(), (theirs < threshold).mean()
        lines.append(
            f"| {name} of the best picture, cut at {threshold:.2f} | {said:.1%} | {unsaid:.1%} | "
            f"{area(ours, theirs):.3f} | {(said + unsaid) / 2:.1%} |"
        )
    lines += ["", "Wrong: " + "; ".join(wrong(reported, on, off)) or "none"]
    return "\n".join(lines)


def wrong(queries: Queries, on: Judged, off: Judged) -> list[str]:
    missed = [f"-{query}" for query, good in zip(queries.on, on.good, strict=True) if not good]
    return missed + [f"+{query}" for query, good in zip(queries.off, off.good, strict=True) if good]


def area(on: Floats, off: Floats) -> float:
    """How often a query that fits has the larger value, of all pairs."""
    return float((on[:, None] > off).mean() + (on[:, None] == off).mean() / 2)


def best_threshold(on: Floats, off: Floats) -> float:
    """Where the mean share of right answers is largest."""
    return float(max(np.concatenate([on, off]), key=lambda cut: (on >= cut).mean() + (off < cut).mean()))


def hubs(library: Library, captions: Path) -> str:
    """Captions look for their pictures, by cosine and with the correction."""
    with captions.open(encoding="utf-8") as file:
        pairs = [(row["image"], row["caption"]) for row in csv.DictReader(file)]
    names = {
        record.object_key.rpartition("/")[2]: record.image_id for record in library.view.records_of(all_rows(library))
    }
    known = [(row_id(names[image]), text) for image, text in pairs if image in names]
    vectors = library.embedder.encode_texts([text for _, text in known])
    rows = np.array([row for row, _ in known], np.int64)
    found = examine(vectors, rows, library.scales.bank, library.view.nearest_rows, library.view.vectors_of)
    return "\n".join(
        [
            f"{found.captions} captions; weight {WEIGHT}, {depth_of(10)} ranked anew. Worth it: {found.gains}.",
            "",
            "| ranked by | R@1 | R@10 |",
            "|---|---|---|",
            f"| cosine | {found.plain[0]:.4f} | {found.plain[1]:.4f} |",
            f"| cosine less half of the nearness to the bank | {found.corrected[0]:.4f} | {found.corrected[1]:.4f} |",
        ]
    )


def times(workplace: Path, count: int) -> str:
    """Processor time of a plain search, and of judging what it found, in milliseconds."""
    rng = np.random.default_rng(0)
    bank = Bank(unit_rows(rng, len(bank_texts())))
    vectors, _ = Clusters(DIMENSION, 0).draw(count, rng)
    began = time.process_time()
    records = bank.measured([made_up_record(number) for number in range(count)], vectors)
    measured_s = time.process_time() - began
    model = ModelIdentity("made-up", "0" * 32, DIMENSION, "fp32", "none")
    view = View(catalog_in(LocalStore(workplace)).publish(Changes(added=records, vectors=vectors), model))
    began = time.process_time()
    scales = make_scales(view, bank)
    scales_s = time.process_time() - began
    plain, judged = [], []
    for query in unit_rows(rng, ROUNDS):
        began = time.process_time()
        found = view.search(query, HITS)
        found_at = time.process_time()
        scales.judge("text", query, found, view)
        plain.append(found_at - began)
        judged.append(time.process_time() - found_at)
    search_ms, judge_ms = 1000 * float(np.median(plain)), 1000 * float(np.median(judged))
    return (
        f"{count:,} pictures of {DIMENSION}: search {search_ms:.2f} ms, relevance {judge_ms:.3f} ms "
        f"({judge_ms / search_ms:.1%}); measuring all against the bank {measured_s:.1f} s, scales {scales_s:.2f} s"
    )


def unit_rows(rng: np.random.Generator, count: int) -> Vectors:
    rows = rng.standard_normal((count, DIMENSION)).astype(np.float32)
    units: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units


def all_rows(library: Library) -> list[int]:
    rows: list[int] = library.view.sample(len(library.view)).tolist()
    return rows


if __name__ == "__main__":
    typer.run(main)
