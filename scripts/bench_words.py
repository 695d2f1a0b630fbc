"""Cost of searching words in a large library: `python -m scripts.bench_words --count 1000000`.

Makes up names, folders, captions and tags, the commonest words in a tenth of the pictures, writes their words as an
index run does, and searches them. CPU time changes little with other work on the machine, time by the clock does.
`--fts5` does the same with SQLite's FTS5.
"""

import argparse
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from app.catalog.metadata import RecordFile
from app.words.analysis import Document
from app.words.base import WordBase
from app.words.build import write_words
from app.words.file import WordFile
from app.words.index import WordIndex
from scripts.bench.machine import machine
from scripts.bench_catalog import memory_mb


def _list(words: str) -> list[str]:
    return words.split()


NOUNS = _list(
    "dog cat man woman child beach car tree house street mountain river lake boat bird horse cow sheep pizza cake "
    "table chair window door garden flower field forest snow sky sun moon sunset sunrise train bus bicycle motorcycle "
    "plane bridge tower church castle city village market shop kitchen bathroom bedroom sofa bed lamp book phone "
    "laptop screen camera hat shirt dress shoe bag umbrella ball bat racket frisbee kite skateboard surfboard ski "
    "glass bottle cup plate fork knife spoon bowl banana apple orange sandwich carrot broccoli donut elephant bear "
    "zebra giraffe"
)
ADJECTIVES = _list(
    "small large red green blue yellow black white brown old young new wooden tall bright wet happy busy"
)
VERBS = _list("sitting standing running walking playing holding riding looking eating lying flying jumping swimming")
SYLLABLES = _list("ka lo mi ra te no su pi ve do ga ri la mo ne tu ba ze fo hi")
RARE = 60_000
"""Words that few pictures have."""

QUERIES = (
    "dog",
    "dogs",
    "dog beach",
    "dog beach tree house car",
    "small brown dog",
    "IMG_0001000",
    "img",
    "unicorn dog",
    '"dog" "beach"',
    "a brown dog running on the beach near the water at sunset",
)
K = 50
CHANGED = 5000
"""Pictures added since the file was written."""


class Author:
    """Writes what is said of made-up pictures."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._rare = ["".join(self._random.choices(SYLLABLES, k=2 + number % 3)) for number in range(RARE)]
        self._common = list(accumulate(1 / (place + 2) ** 0.25 for place in range(len(NOUNS))))

    def documents(self, count: int, first: int = 0) -> Iterator[Document]:
        return map(self.document, range(first, first + count))

    def document(self, number: int) -> Document:
        choose = self._random.choice
        year, month = 2005 + number % 19, 1 + number % 12
        name = (
            f"IMG_{number:07d}.jpg",
            f"{year}-{month:02d}-{1 + number % 28:02d}_{self._noun()} ({number % 9}).jpg",
            f"{self._noun().title()}{self._noun().title()}{number}.jpeg",
            f"DSC{number:06d}.JPG",
            f"{self._noun()}-{self._noun()}-{number}.png",
        )[number % 5]
        caption = (
            f"a {choose(ADJECTIVES)} {self._noun()} {choose(VERBS)} near a {choose(ADJECTIVES)} {self._noun()} and a "
            f"{self._noun()} behind the {self._noun()}"
        )
        tags = tuple(self._noun() for _ in range(choose((0, 0, 1, 3))))
        return Document(f"photos/{year}/{month:02d}-{self._rare[number % 997]}/{name}", caption, tags)

    def _noun(self) -> str:
        if self._random.random() < 0.12:
            return self._rare[int(RARE * self._random.random() ** 3)]
        return self._random.choices(NOUNS, cum_weights=self._common)[0]


class Took(NamedTuple):
    """Medians of several calls, in milliseconds."""

    cpu_ms: float
    wall_ms: float

    def __str__(self) -> str:
        return f"{self.cpu_ms:.1f} ({self.wall_ms:.1f})"


def took(call: Callable[[], object], repeats: int = 15) -> Took:
    cpu_s, wall_s = [], []
    for _ in range(repeats):
        started, began = time.process_time(), time.perf_counter()
        call()
        cpu_s.append(time.process_time() - started)
        wall_s.append(time.perf_counter() - began)
    return Took(1000 * median(cpu_s), 1000 * median(wall_s))


def listing_of(count: int) -> RecordFile:
    rng = np.random.default_rng(0)
    ids = rng.permutation(np.arange(count, dtype=np.int64) * 9_000_000_019 - (1 << 62))
    return RecordFile(ids, [f"photos/{year}" for year in range(2005, 2024)], np.arange(count, dtype=np.int32) % 19)


def measure(count: int) -> None:
    author = Author()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words"
        started, began = time.process_time(), time.perf_counter()
        write_words(path, author.documents(count))
        cpu_s, wall_s = time.process_time() - started, time.perf_counter() - began
        started = time.process_time()
        for _ in author.documents(count):
            pass
        cpu_s -= time.process_time() - started
        print(f"{count:,} pictures: built in {cpu_s:.1f} s of CPU ({wall_s:.1f} s by the clock)")
        print(f"  {path.stat().st_size / count:.0f} bytes a picture")
        before = memory_mb("RssAnon")
        file, listing = WordFile.open(path), listing_of(count)
        index = WordIndex(WordBase(file, lambda: file, count), listing)
        index.search("zebra", K)
        print(f"  own memory {memory_mb('RssAnon') - before:.0f} MB")
    print("  CPU time, ms (by the clock)")
    print("  | query | first | again | in a folder |")
    for query in QUERIES:
        ask(index, query)
    for query in ('"dog"', '"dog" "beach"'):  # as a filter of captions asks
        every = took(lambda query=query: index.having(query))  # type: ignore[misc]
        ranked = took(lambda query=query: index.search(query, count))  # type: ignore[misc]
        print(f"  all {len(index.having(query)):,} with {query}: {every} ms, ranked {ranked} ms")
    changed = index.changed(dict(enumerate(author.documents(CHANGED, count))), listing.ids[:CHANGED].tolist())
    print(f"  first search after {CHANGED:,} changes: {took(lambda: changed.search('dog', K), 1)} ms")
    for query in QUERIES[:4]:
        ask(changed, query)


def ask(index: WordIndex, query: str) -> None:
    first = took(lambda: index.search(query, K), 1)
    again = took(lambda: index.search(query, K))
    folder = took(lambda: index.search(query, K, folders=["photos/2010"]))
    print(f"  | {query} | {first} | {again} | {folder} |")


def measure_fts5(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(Path(folder) / "words")
        database.execute("PRAGMA synchronous=off")
        database.execute(
            "CREATE VIRTUAL TABLE words USING fts5(name, folder, caption, tags, content='', detail=none, "
            "tokenize='unicode61 remove_diacritics 2')"
        )
        rows = ((each.name, each.folder, each.caption, " ".join(each.tags)) for each in Author().documents(count))
        started = time.process_time()
        database.executemany("INSERT INTO words(name, folder, caption, tags) VALUES (?, ?, ?, ?)", rows)
        database.commit()
        print(f"FTS5: built in {time.process_time() - started:.1f} s of CPU, with making up the pictures")
        for query in ("dog", "dog OR beach OR tree OR house OR car", "small OR brown OR dog"):
            sql = f"SELECT rowid FROM words WHERE words MATCH ? ORDER BY bm25(words, 2.5, 0.8, 1, 2) LIMIT {K}"
            time_of = took(lambda sql=sql, query=query: database.execute(sql, (query,)).fetchall(), 3)  # type: ignore[misc]
            print(f"  | {query} | {time_of} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, nargs="+", default=[100_000])
    parser.add_argument("--fts5", action="store_true", help="search with SQLite's FTS5 too")
    args = parser.parse_args()
    print(machine("numpy", "pystemmer"))
    for count in args.count:
        measure(count)
        if args.fts5:
            measure_fts5(count)


if __name__ == "__main__":
    main()
