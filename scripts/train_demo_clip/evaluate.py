"""Measure the demo model on unseen scenes: `python -m scripts.train_demo_clip.evaluate --sources DIR`.

Prints a table of figures and targets; `--json FILE` also writes them to a file.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from scripts.train_demo_clip import exams
from scripts.train_demo_clip.encoder import Encoder
from scripts.train_demo_clip.exams import Examiner, Line
from scripts.train_demo_clip.sample_exams import (
    Samples,
    answer_first_queries,
    answer_off_topic,
    as_list,
    examine_samples,
)  # fmt: skip
from scripts.train_demo_clip.sources import Sources
from scripts.train_demo_clip.sprites import load_sprites
from scripts.train_demo_clip.vocabulary import load_vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, default=Path("models/demo-clip"))
    parser.add_argument("--sources", type=Path, default=Path("demo-clip-sources"), help="folder of `npm install`")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "demo-clip", help="folder for sprites")
    parser.add_argument("--photos", type=Path, help="folder of photographs with captions.csv (image, caption)")
    parser.add_argument("--samples", type=Path, default=Path("samples"))
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--choose-by", metavar="STYLE", help="only the exams for choosing, with the style left out")
    parser.add_argument("--answers", type=Path, help="write each first query with its first hit to this file")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sources = Sources(arguments.sources)
    vocabulary = load_vocabulary(sources.emojibase)
    sheet = load_sprites(sources, vocabulary, arguments.cache)
    encoder = Encoder(arguments.model)
    examiner = Examiner(encoder, vocabulary, sheet, arguments.scenes)
    if arguments.choose_by:
        print(as_table(exams.examine_for_choosing(examiner, arguments.choose_by)))
        return
    samples = Samples(encoder, arguments.samples)
    lines = [*_lines(examiner, arguments.photos), *examine_samples(samples, vocabulary)]
    lines += exams.measure_speed(examiner)
    if arguments.answers:
        tables = (as_list(answer_first_queries(samples)), as_list(answer_off_topic(samples)))
        arguments.answers.write_text("\n\n".join(tables) + "\n")
    print(as_table(lines))
    if arguments.json:
        rows = [asdict(line) | {"value": round(line.value, 4), "reached": line.reached} for line in lines]
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def _lines(examiner: Examiner, photos: Path | None) -> Iterator[Line]:
    yield from exams.examine_scenes(examiner)
    yield from exams.examine_held_out_style(examiner)
    yield from exams.examine_swaps(examiner)
    yield from exams.examine_synonyms(examiner)
    if photos:
        yield from exams.examine_photographs(examiner, photos)


def as_table(lines: list[Line]) -> str:
    """A Markdown table, sorted by exam."""
    head = ["| exam | measure | figure | target | reached |", "|---|---|---|---|---|"]
    return "\n".join(head + [_row(line) for line in sorted(lines, key=lambda line: line.exam[:3])])


def _row(line: Line) -> str:
    target = "" if line.target is None else f"{'at most' if line.at_most else 'at least'} {line.target:g}"
    reached = {None: "", True: "yes", False: "no"}[line.reached]
    digits = 3 if line.value < 1 else 1
    return f"| {line.exam} | {line.measure} | {line.value:.{digits}f} | {target} | {reached} |"


if __name__ == "__main__":
    main()
