"""How often the net under a guessed folder rightly searches everything: each sample asked for in two folders.

    python -m scripts.bench_net

`fox from animals` has to stay in the folder, `fox from vehicles` has to search everything: what a sample shows is read
from its file name. The margin is chosen on one half of the things and reported on the other.
"""

import re
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from app.search.folders import FolderNames
from app.search.net import LEAST_GAIN, is_clearly_better
from app.search.relevance.relevance import LEAST_RELEVANCE
from scripts.bench.machine import machine
from scripts.bench_relevance import HITS, Library, indexed

MARGINS: Final = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
ENDS: Final = re.compile(r"-(on|in|at|and|copy|rotated|by)-.*|-copy.*")


class Asked(NamedTuple):
    """A query whose folder is guessed, and the best relevance in the folder and in the whole library."""

    query: str
    should_widen: bool
    inside: float
    outside: float


def things() -> dict[str, set[str]]:
    """What the samples show, and the top folders that have it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in Path("samples").rglob("*.jpg"):
        found[ENDS.sub("", path.stem).replace("-", " ")].add(path.relative_to("samples").parts[0])
    return dict(sorted(found.items()))


def ask(library: Library, query: str, *, should_widen: bool) -> Asked | None:
    choice = FolderNames(library.view.folders).detect(query)
    if choice is None or choice.is_all or not choice.embedded_text:
        return None
    inside = best(library, choice.embedded_text, choice.paths)
    return Asked(query, should_widen, inside, best(library, choice.embedded_text, ()))


def best(library: Library, text: str, folders: tuple[str, ...]) -> float:
    vector = library.embedder.encode_texts([text])[0]
    found = library.view.search(vector, HITS, folders=folders)
    return max(library.scales.judge("text", vector, found, library.view).relevances, default=0.0)


def rights(asked: list[Asked], margin: float) -> tuple[float, float]:
    """(stayed where it should, widened where it should), as shares."""
    widened = {
        should: np.mean([is_clearly_better(each.outside, each.inside, margin) for each in asked
                         if each.should_widen == should])
        for should in (True, False)
    }  # fmt: skip
    return 1 - float(widened[False]), float(widened[True])


def main() -> None:
    """Print a table in Markdown."""
    with tempfile.TemporaryDirectory() as workplace:
        library = indexed(Path("samples").resolve(), Path(workplace), "demo")
        folders = sorted({folder for known in things().values() for folder in known})
        halves: tuple[list[Asked], list[Asked]] = [], []
        for number, (thing, known) in enumerate(things().items()):
            others = [folder for folder in folders if folder not in known]
            for folder, should in ((min(known), False), (others[number % len(others)], True)):
                if asked := ask(library, f"{thing} from {folder}", should_widen=should):
                    halves[number % 2].append(asked)
    print(f"{machine()}. {len(halves[0])} queries to choose on, {len(halves[1])} to report; margin {LEAST_GAIN}, "
          f"least relevance {LEAST_RELEVANCE}.\n")  # fmt: skip
    print("| margin | stayed (tuning) | widened (tuning) | stayed | widened |\n|---|---|---|---|---|")
    for margin in MARGINS:
        cells = [f"{share:.1%}" for half in halves for share in rights(half, margin)]
        print(f"| {margin:.2f} | {' | '.join(cells)} |")
    for each in halves[0]:
        if is_clearly_better(each.outside, each.inside, LEAST_GAIN) != each.should_widen:
            print(f"wrong (tuning): {each}")


if __name__ == "__main__":
    main()
