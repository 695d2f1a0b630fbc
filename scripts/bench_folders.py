"""Hits with and without folder detection, on your own photographs and their captions.

    python -m scripts.bench_folders PHOTOS --captions CSV

PHOTOS is a folder with one folder of pictures for each subject. The CSV has the columns `image` (a file's name) and
`caption`; pictures may have several captions or none. Nothing is written to PHOTOS.

Every query is searched twice, everywhere and where detection says. A hit is right

- for a caption: if it is the picture that has this caption, so that a tenth of the top ten is the most;
- for a query made of a folder's name, such as "blue dress": if it lies in that folder, or a caption of it has the name;
- for one about a person with it, such as "a girl in a pink dress": if a caption of it has that word, `girl`.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from app.bootstrap import load_embedder
from app.errors import AppError
from app.models.base import Embedder
from app.search.folders import FolderNames
from app.search.inflection import forms_of
from app.settings import Settings
from app.types import Vectors, folder_of, in_folder

TOP = 10
BATCH = 32
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}

NAMED = ["blue {}", "an old {}", "{} on a white background", "two {}"]
"""The picture shows what the folder is named after."""

POINTED_AT = ["{}", "show me {} photos", "something blue in the {} folder"]
"""The query points at the folder."""

ABOUT = {
    "a girl in a pink {}": "girl",
    "man in {}": "man",
    "a woman wearing a {}": "woman",
    "a dog without a {}": "dog",
    "a boy looking at the {}": "boy",
}
"""The folder's name is about what a person has or lacks."""


@dataclass(frozen=True)
class Library:
    """Pictures by their path in the folder, and what is known of them."""

    keys: list[str]
    vectors: Vectors
    """(N, D) unit rows."""
    captions: dict[str, list[str]]
    """By key."""

    def in_folder(self, folder: str) -> set[str]:
        return {key for key in self.keys if in_folder(folder_of(key), folder)}

    def mentioning(self, name: str) -> set[str]:
        """The pictures whose captions have a word of the name's forms."""
        wanted = forms_of(name)
        return {
            key for key, captions in self.captions.items() if any(wanted & set(_words(caption)) for caption in captions)
        }


@dataclass
class Score:
    """Queries of one kind."""

    queries: int = 0
    detected: int = 0
    everywhere: int = 0
    """Right hits among the top ten of all queries."""
    as_detected: int = 0
    better: int = 0
    worse: list[str] = field(default_factory=list)
    """Queries with fewer right hits than without detection."""

    def add(self, query: str, everywhere: int, as_detected: int, *, detected: bool) -> None:
        self.queries += 1
        self.detected += detected
        self.everywhere += everywhere
        self.as_detected += as_detected
        self.better += as_detected > everywhere
        if as_detected < everywhere:
            self.worse.append(query)


def main(
    photos: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A folder of folders of pictures.")],
    captions: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="A CSV with `image` and `caption`.")],
) -> None:
    """Compare searches with and without folder detection. The model is that of MODEL."""
    settings = Settings()
    embedder = load_embedder(settings.model)
    library = read_library(photos, captions, embedder, settings)
    names = FolderNames({folder_of(key) for key in library.keys})
    scores: defaultdict[str, Score] = defaultdict(Score)
    for kind, query, right in queries_of(library, names):
        compare(query, right, library, names, embedder, scores[kind])
    console = Console()
    console.print(f"{len(library.keys)} pictures in {len(names.paths)} folders, {embedder.identity.name}")
    console.print(_table(scores))
    for kind, score in scores.items():
        for query in score.worse[:10]:
            console.print(f"worse with detection ({kind}): {query}")


def read_library(photos: Path, captions: Path, embedder: Embedder, settings: Settings) -> Library:
    described = defaultdict(list)
    with captions.open(newline="") as file:
        for row in csv.DictReader(file):
            described[row["image"]].append(row["caption"])
    keys, rows, batch = [], [], []
    for path in sorted(path for path in photos.rglob("*") if path.suffix.lower() in SUFFIXES):
        try:
            batch.append(embedder.read_picture(path.read_bytes(), settings.image).image)
        except AppError:
            continue
        keys.append(path.relative_to(photos).as_posix())
        if len(batch) == BATCH:
            rows.append(embedder.encode_images(batch))
            batch = []
    rows.append(embedder.encode_images(batch))
    of_key = {key: described[name] for key in keys if (name := key.rpartition("/")[2]) in described}
    return Library(keys, np.concatenate(rows), of_key)


def queries_of(library: Library, names: FolderNames) -> Iterator[tuple[str, str, set[str]]]:
    """The kind of query, the query, and the pictures that are right."""
    for key, captions in library.captions.items():
        for caption in captions:
            yield "captions", caption, {key}
    for folder in sorted(names.paths):
        name = folder.rpartition("/")[2]
        inside = library.in_folder(folder)
        shown = inside | library.mentioning(name)
        for pattern in POINTED_AT:
            yield "pointed at", pattern.format(name), inside
        if inside & library.captions.keys():
            continue  # Where captions say what is shown, the folder's name rarely does.
        for pattern in NAMED:
            yield "named", pattern.format(name), shown
        for pattern, word in ABOUT.items():
            yield "about a person", pattern.format(name), library.mentioning(word)


def compare(
    query: str, right: set[str], library: Library, names: FolderNames, embedder: Embedder, score: Score
) -> None:
    everywhere = _hits(query, library, embedder, lambda _: True)
    choice = names.detect(query)
    as_detected = everywhere
    if choice:
        text = choice.embedded_text or query
        as_detected = _hits(
            text, library, embedder, lambda key: any(in_folder(folder_of(key), path) for path in choice.paths)
        )
    score.add(query, len(right & everywhere), len(right & as_detected), detected=choice is not None)


def _hits(text: str, library: Library, embedder: Embedder, is_searched: Callable[[str], bool]) -> set[str]:
    scores = library.vectors @ embedder.encode_texts([text])[0]
    order = (library.keys[row] for row in np.argsort(-scores).tolist())
    found = [key for key in order if is_searched(key)]
    return set(found[:TOP])


def _table(scores: dict[str, Score]) -> Table:
    table = Table("queries", "number", "detected", "right everywhere", "right as detected", "better", "worse", box=None)
    for kind, score in scores.items():
        shares = [f"{right / score.queries / TOP:.1%}" for right in (score.everywhere, score.as_detected)]
        numbers = map(str, (score.queries, score.detected))
        table.add_row(kind, *numbers, *shares, str(score.better), str(len(score.worse)))
    return table


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z-]+", text.casefold())


if __name__ == "__main__":
    typer.run(main)
