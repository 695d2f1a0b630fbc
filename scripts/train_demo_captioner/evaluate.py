"""Measure the demo captioner on unseen scenes: `python -m scripts.train_demo_captioner.evaluate --sources DIR`.

Scenes and backgrounds come from seeds that training never uses, once in the styles that it saw and once in the style
that it never saw; then come the samples. Prints a table of figures and targets; `--json FILE` also writes them there.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from scripts.train_demo_captioner.reading import Mark, Marks, Reader, mark
from scripts.train_demo_captioner.sentences import Writer, find_clear_colours
from scripts.train_demo_clip.evaluate import as_table
from scripts.train_demo_clip.exams import Line
from scripts.train_demo_clip.make_samples import SAMPLE_LIST, read_list
from scripts.train_demo_clip.scenes import Mix, ScenePainter, ScenePlanner, find_own_colours
from scripts.train_demo_clip.sources import HELD_OUT_STYLE, Sources
from scripts.train_demo_clip.sprites import SpriteSheet, load_sprites
from scripts.train_demo_clip.vocabulary import Vocabulary, load_vocabulary

SEED = 970_000
_TARGETS = {"objects": 0.7, "colours": 0.8, "counts": 0.7}


class Speaker:
    """Captions pictures with any model of the hub's format, through the ordinary `generate`."""

    def __init__(self, folder: Path, beams: int = 1) -> None:
        self.model = AutoModelForImageTextToText.from_pretrained(folder).eval()
        self.images, self.words = AutoImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        self.beams = beams

    @torch.inference_mode()
    def caption(self, pictures: Sequence[Image.Image | np.ndarray], batch: int = 64) -> list[str]:
        captions: list[str] = []
        for start in range(0, len(pictures), batch):
            pixels = self.images(list(pictures[start : start + batch]), return_tensors="pt")["pixel_values"]
            rows = self.model.generate(pixel_values=pixels, num_beams=self.beams)
            captions += self.words.batch_decode(rows, skip_special_tokens=True)
        return captions


class Examiner:
    """The model under test, and the parts that make and mark its questions."""

    def __init__(self, speaker: Speaker, vocabulary: Vocabulary, sheet: SpriteSheet) -> None:
        self.speaker, self.vocabulary, self.sheet = speaker, vocabulary, sheet
        self.reader, self.writer = Reader(vocabulary), Writer(vocabulary, find_clear_colours(sheet))
        self.own_colours = find_own_colours(sheet)

    def examine(self, name: str, scenes: int, styles: tuple[str, ...] | None, seed: int, targets: bool) -> list[Line]:
        """Figures for new scenes in these styles (None: all that training saw)."""
        rng = np.random.default_rng((SEED, seed))
        planner, painter = ScenePlanner(self.vocabulary, self.sheet, styles), ScenePainter(self.sheet, SEED + seed, 24)
        plans = [planner.plan(rng, Mix()) for _ in range(scenes)]
        captions = self.speaker.caption([painter.paint(plan, rng, plain_style=True) for plan in plans])
        marks = [
            mark(self.reader.read(caption), plan, self.writer, self.own_colours)
            for caption, plan in zip(captions, plans, strict=True)
        ]
        exam = f"{scenes} new scenes, {name}"
        return [
            Line(exam, measure, value, _TARGETS.get(measure) if targets else None)
            for measure, value in summarise(marks).items()
        ]

    def examine_samples(self, captions: dict[str, str]) -> list[Line]:
        """The share of the things in the samples that their captions name."""
        listed = read_list(SAMPLE_LIST.read_text("utf-8"))
        claims = {key: self.reader.read(caption) for key, caption in captions.items()}
        named = [
            any(
                self.vocabulary.by_label[item.label] in claim.glyphs for claim in claims[f"{row.folder}/{row.stem}.jpg"]
            )
            for row in listed
            for item in row.items
        ]
        return [Line(f"{len(named)} things in {len(listed)} samples", "objects", float(np.mean(named)))]


def summarise(marks: Sequence[Marks]) -> dict[str, float]:
    """Shares of all groups of the scenes; those of colours and of several things only where there are any."""
    rows = [row for paper in marks for row in paper.groups]
    several = [row for row in rows if row.several]
    return {
        "objects": _share(rows, lambda row: row.named),
        "colours": _share([row for row in rows if row.coloured is not None], lambda row: bool(row.coloured)),
        "counts": _share(rows, lambda row: row.counted),
        "counts of 2 to 6": _share(several, lambda row: row.counted),
        "named things that are there": sum(paper.true_things for paper in marks)
        / max(1, sum(paper.things for paper in marks)),
    }


def _share(rows: Sequence[Mark], right: Callable[[Mark], bool]) -> float:
    return float(np.mean([right(row) for row in rows])) if rows else 0.0


def caption_samples(speaker: Speaker, folder: Path) -> dict[str, str]:
    """The caption of each sample that is listed, by its key."""
    keys = [f"{row.folder}/{row.stem}.jpg" for row in read_list(SAMPLE_LIST.read_text("utf-8"))]
    return dict(zip(keys, speaker.caption([open_picture(folder / key) for key in keys]), strict=True))


def open_picture(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, default=Path("models/demo-captioner"))
    parser.add_argument("--sources", type=Path, default=Path("demo-clip-sources"), help="folder of `npm install`")
    parser.add_argument("--store", type=Path, default=Path.home() / ".cache" / "demo-clip", help="folder for sprites")
    parser.add_argument("--samples", type=Path, default=Path("samples"))
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--captions", type=Path, help="write each sample with its caption to this file")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sources = Sources(arguments.sources)
    vocabulary = load_vocabulary(sources.emojibase)
    sheet = load_sprites(sources, vocabulary, arguments.store)
    examiner = Examiner(Speaker(arguments.model, arguments.beams), vocabulary, sheet)
    captions = caption_samples(examiner.speaker, arguments.samples)
    if arguments.captions:
        arguments.captions.write_text("".join(f"{key}: {caption}\n" for key, caption in captions.items()))
    lines = [
        *examiner.examine("seen styles", arguments.scenes, None, 1, targets=True),
        *examiner.examine("held-out style", arguments.scenes, (HELD_OUT_STYLE,), 2, targets=False),
        *examiner.examine_samples(captions),
    ]
    print(as_table(lines))
    if arguments.json:
        rows = [asdict(line) | {"value": round(line.value, 4), "reached": line.reached} for line in lines]
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
