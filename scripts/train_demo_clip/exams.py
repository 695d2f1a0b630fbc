"""The exams of the evaluation, each a function `Examiner -> list[Line]`, with their targets.

Scenes, backgrounds and captions come from seeds that training never uses.
"""

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from scripts.train_demo_clip.captions import EXACT, Captioner, Wording
from scripts.train_demo_clip.colours import COLOUR_NAMES
from scripts.train_demo_clip.encoder import Encoder
from scripts.train_demo_clip.scenes import (
    Group,
    Mix,
    Scene,
    ScenePainter,
    ScenePlanner,
    find_own_colours,
    pick_background,
    pick_tint,
)  # fmt: skip
from scripts.train_demo_clip.sources import HELD_OUT_STYLE, NOTO
from scripts.train_demo_clip.sprites import SpriteSheet
from scripts.train_demo_clip.vocabulary import LANGUAGES, Vocabulary

SEED = 990_000
CHOOSING_SEED = 880_000
_SWAP_TARGETS = {"colour": 0.95, "count": 0.90, "background": 0.95}


@dataclass(frozen=True)
class Line:
    """One row of the table. Without a `target` the figure is only for information."""

    exam: str
    measure: str
    value: float
    target: float | None = None
    at_most: bool = False

    @property
    def reached(self) -> bool | None:
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


class Examiner:
    """The model under test, and the parts that make its questions."""

    def __init__(self, encoder: Encoder, vocabulary: Vocabulary, sheet: SpriteSheet, scenes: int = 1000) -> None:
        self.encoder, self.vocabulary, self.sheet, self.scenes = encoder, vocabulary, sheet, scenes
        self.planner = ScenePlanner(vocabulary, sheet)
        self.painter = ScenePainter(sheet, SEED, pool=24)
        self.captioner = Captioner(vocabulary, find_own_colours(sheet))

    def paint(self, scenes: Sequence[Scene], seed: int) -> np.ndarray:
        """The scenes' pictures as unit rows."""
        rng = np.random.default_rng((SEED, seed))
        return self.encoder.encode_images([self.painter.paint(scene, rng, plain_style=True) for scene in scenes])

    def glyphs_of(self, style: str) -> list[int]:
        """Numbers of the glyphs that a style has."""
        return [int(number) for number in np.flatnonzero(self.sheet.present[self.sheet.styles.index(style)])]

    def portraits(self, style: str, glyphs: Sequence[int]) -> np.ndarray:
        """Unit rows of one picture per glyph: the drawing alone, on white."""
        return self.encoder.encode_images([_portrait(self.sheet, style, glyph) for glyph in glyphs])


def _portrait(sheet: SpriteSheet, style: str, glyph: int) -> Image.Image:
    canvas = Image.new("RGB", (128, 128), "white")
    sprite = Image.fromarray(sheet.pixels[sheet.styles.index(style), glyph])
    canvas.paste(sprite, (16, 16), sprite)
    return canvas


def recall(scores: np.ndarray, right: np.ndarray, k: int) -> float:
    """The share of rows of `scores` (Q, N) that have one of `right` (Q, N) bool among their k best."""
    best = np.argpartition(-scores, min(k, scores.shape[1] - 1), axis=1)[:, :k]
    return float(np.take_along_axis(right, best, 1).any(1).mean())


def examine_scenes(examiner: Examiner) -> list[Line]:
    """(a) caption -> its scene, and (e) the same in each other language."""
    rng = np.random.default_rng((SEED, 1))
    scenes = [examiner.planner.plan(rng, Mix()) for _ in range(examiner.scenes)]
    pictures, own = examiner.paint(scenes, 1), np.eye(len(scenes), dtype=bool)
    lines = []
    for language in LANGUAGES:
        texts = [examiner.captioner.describe(scene, rng, EXACT, language).text for scene in scenes]
        scores = examiner.encoder.encode_texts(texts) @ pictures.T
        name = f"(a) {len(scenes)} new scenes, caption -> scene" if language == "en" else f"(e) the same, {language}"
        targets = (0.70, 0.95) if language == "en" else (None, None)
        lines += [Line(name, f"R@{k}", recall(scores, own, k), goal) for k, goal in zip((1, 10), targets, strict=True)]
    return lines


def examine_held_out_style(examiner: Examiner) -> list[Line]:
    """(b) name -> picture in the style that training never saw, (e) in each language; then the same in a seen style."""
    return [
        *_name_lines(examiner, HELD_OUT_STYLE, "held-out style", (0.70, None)),
        *_name_lines(examiner, NOTO, "seen style"),
    ]


def _name_lines(
    examiner: Examiner, style: str, kind: str, targets: tuple[float | None, float | None] = (None, None)
) -> list[Line]:
    glyphs = examiner.glyphs_of(style)
    pictures, own = examiner.portraits(style, glyphs), np.eye(len(glyphs), dtype=bool)
    lines = []
    for language in LANGUAGES:
        names = [examiner.vocabulary.glyphs[glyph].names[language] for glyph in glyphs]
        scores = examiner.encoder.encode_texts(names) @ pictures.T
        exam = f"({'b' if language == 'en' else 'e'}) {len(glyphs)} names in {language} -> picture, {kind}"
        goals = targets if language == "en" else (None, None)
        lines += [Line(exam, f"R@{k}", recall(scores, own, k), goal) for k, goal in zip((1, 10), goals, strict=True)]
    return lines


def examine_swaps(examiner: Examiner, each: int = 400) -> list[Line]:
    """(c) a picture and two captions that differ in one thing: is the true caption nearer? And the other way round."""
    lines = []
    for number, (kind, swap) in enumerate(
        (("colour", _swap_colour), ("count", _swap_count), ("background", _swap_place))
    ):
        rng = np.random.default_rng((SEED, 10 + number))
        pairs = [swap(examiner, rng) for _ in range(each)]
        lines.append(
            Line(f"(c) {kind} swaps", "right", _swap_accuracy(examiner, pairs, rng, number), _SWAP_TARGETS[kind])
        )
    return lines


def _swap_accuracy(examiner: Examiner, pairs: list[tuple[Scene, Scene]], rng: np.random.Generator, seed: int) -> float:
    """Mean over both pictures choosing between both captions and both captions choosing between both pictures."""
    wording = Wording(keyword=0, background=1, prefix=0)
    texts = [[examiner.captioner.describe(scene, rng, wording, "en").text for scene in pair] for pair in pairs]
    left, right = (examiner.paint([pair[side] for pair in pairs], 20 + seed * 2 + side) for side in (0, 1))
    words = [examiner.encoder.encode_texts([text[side] for text in texts]) for side in (0, 1)]
    score = {(i, t): (row * words[t]).sum(1) for i, row in enumerate((left, right)) for t in (0, 1)}
    wins = [
        score[0, 0] > score[0, 1], score[1, 1] > score[1, 0], score[0, 0] > score[1, 0], score[1, 1] > score[0, 1]
    ]  # fmt: skip
    return float(np.mean(wins))


def _lone(examiner: Examiner, rng: np.random.Generator) -> Scene:
    scene = examiner.planner.plan(rng, Mix(single=1.0, tinted=0.0, several=0.0))
    return replace(scene, groups=scene.groups[:1])


def _swap_colour(examiner: Examiner, rng: np.random.Generator) -> tuple[Scene, Scene]:
    scene = _lone(examiner, rng)
    first = pick_tint(scene.background, rng)
    second = str(rng.choice([name for name in COLOUR_NAMES if name != first]))
    return _with(scene, tint=first), _with(scene, tint=second)


def _swap_count(examiner: Examiner, rng: np.random.Generator) -> tuple[Scene, Scene]:
    scene = _lone(examiner, rng)
    first, second = rng.choice([2, 3, 4, 5], 2, replace=False)
    return _with(scene, count=int(first)), _with(scene, count=int(second))


def _swap_place(examiner: Examiner, rng: np.random.Generator) -> tuple[Scene, Scene]:
    scene = _lone(examiner, rng)
    other = scene.background
    while other == scene.background:
        other = pick_background(rng, 0.3)
    return scene, replace(scene, background=other)


def _with(scene: Scene, tint: str | None = None, count: int = 1) -> Scene:
    group: Group = replace(scene.groups[0], tint=tint, count=count)
    return replace(scene, groups=(group,))


def examine_for_choosing(examiner: Examiner, style: str) -> list[Line]:
    """The exams that settings are chosen by: scenes of another seed, and names in a style that this run left out."""
    rng = np.random.default_rng((CHOOSING_SEED, 1))
    scenes = [examiner.planner.plan(rng, Mix()) for _ in range(examiner.scenes)]
    texts = [examiner.captioner.describe(scene, rng, EXACT, "en").text for scene in scenes]
    scores = examiner.encoder.encode_texts(texts) @ examiner.paint(scenes, CHOOSING_SEED).T
    lines = [Line("scenes", "R@1", recall(scores, np.eye(len(scenes), dtype=bool), 1))]
    for kind in (style, NOTO):
        glyphs = examiner.glyphs_of(kind)
        pictures, own = examiner.portraits(kind, glyphs), np.eye(len(glyphs), dtype=bool)
        named = [examiner.vocabulary.glyphs[glyph] for glyph in glyphs]
        names = [glyph.names["en"] for glyph in named]
        everyday = [glyph.everyday["en"][0] for glyph in named]
        for words, questions in (("names", names), ("everyday words", everyday)):
            scores = examiner.encoder.encode_texts(questions) @ pictures.T
            lines.append(Line(f"{words} -> picture, {kind}", "R@1", recall(scores, own, 1)))
    rng = np.random.default_rng((CHOOSING_SEED, 2))
    pairs = [_swap_count(examiner, rng) for _ in range(400)]
    lines.append(Line("count swaps", "right", _swap_accuracy(examiner, pairs, rng, 900)))
    return lines


def examine_synonyms(examiner: Examiner) -> list[Line]:
    """(d) an English keyword of emojibase that fits at most three glyphs -> one of their pictures."""
    lines, fits = [], examiner.vocabulary.keyword_meanings
    for style in (NOTO, HELD_OUT_STYLE):
        glyphs = examiner.glyphs_of(style)
        words = sorted(
            {
                word
                for glyph in glyphs
                for word in examiner.vocabulary.glyphs[glyph].keywords["en"]
                if len(fits[word]) <= 3
            }
        )
        right = np.array([[glyph in fits[word] for glyph in glyphs] for word in words])
        scores = examiner.encoder.encode_texts(words) @ examiner.portraits(style, glyphs).T
        seen = style == NOTO
        exam = f"(d) {len(words)} synonyms -> picture of {len(glyphs)}, {'seen' if seen else 'held-out'} style"
        goals = (0.75 if seen else 0.60, None)
        lines += [Line(exam, f"R@{k}", recall(scores, right, k), goal) for k, goal in zip((1, 10), goals, strict=True)]
    return lines


def examine_photographs(examiner: Examiner, folder: Path) -> list[Line]:
    """(f) captions -> photographs, for which the model was not made; compared with chance."""
    with (folder / "captions.csv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    names = sorted({row["image"] for row in rows if (folder / row["image"]).is_file()})
    pictures = []
    for name in names:
        with Image.open(folder / name) as picture:
            pictures.append(picture.convert("RGB"))
    rows = [row for row in rows if row["image"] in set(names)]
    right = np.array([[name == row["image"] for name in names] for row in rows])
    scores = (
        examiner.encoder.encode_texts([row["caption"] for row in rows]) @ examiner.encoder.encode_images(pictures).T
    )
    exam = f"(f) {len(rows)} captions -> {len(names)} photographs"
    chance = [Line(f"{exam}, by chance", f"R@{k}", k / len(names)) for k in (1, 10)]
    return [*(Line(exam, f"R@{k}", recall(scores, right, k)) for k in (1, 10)), *chance]


def measure_speed(examiner: Examiner) -> list[Line]:
    """Milliseconds for one text, and pictures per second (512 px, without decoding); both include preprocessing."""
    encoder = examiner.encoder
    texts = ["a red car on the grass", "two cats at night", "drei Äpfel"]
    encoder.encode_texts(texts)
    text_ms = min(_seconds(lambda: encoder.encode_texts(texts[:1])) for _ in range(30)) * 1000
    pictures = [Image.new("RGB", (512, 512), (20 * number % 255, 120, 60)) for number in range(64)]
    encoder.encode_images(pictures)
    images_s = 64 / min(_seconds(lambda: encoder.encode_images(pictures)) for _ in range(5))
    return [
        Line("one text", "ms", text_ms, 3.0, at_most=True),
        Line("images of 512 px", "per second", images_s, 200.0),
    ]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
