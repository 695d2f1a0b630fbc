"""Exams on the shipped samples: bare names, first queries, and queries that nothing fits.

`first_queries.txt` holds 80 ways in which people begin, `off_topic_queries.txt` 40 queries that no sample fits. Both
were written before the training. Nothing is chosen by them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from scripts.train_demo_clip.bare_places import ALONE, UNSEEN
from scripts.train_demo_clip.encoder import Encoder
from scripts.train_demo_clip.exams import Line
from scripts.train_demo_clip.layout import Item
from scripts.train_demo_clip.make_samples import SAMPLE_LIST, read_list
from scripts.train_demo_clip.vocabulary import LANGUAGES, Vocabulary

_FIRST, _OFF_TOPIC = (Path(__file__).with_name(f"{name}_queries.txt") for name in ("first", "off_topic"))
# The odd samples are not in the list.
_ODD = {
    "animals/giraffe-rotated-by-exif.jpg": "giraffe",
    "animals/cat-on-grass-copy.jpg": "cat",
    "food/strawberry-transparent.png": "strawberry",
    "buildings/castle-greyscale.jpg": "castle",
    "sports/bouncing-basketball-animated.gif": "basketball",
    "vehicles/rocket-among-stars.webp": "rocket",
}


@dataclass(frozen=True)
class Shown:
    """What a sample shows."""

    key: str
    items: tuple[Item, ...]
    background: str


@dataclass(frozen=True)
class Answer:
    """A query with its first hit."""

    query: str
    hit: str
    score: float
    right: bool


class Samples:
    """The shipped pictures as unit rows, with what each shows."""

    def __init__(self, encoder: Encoder, folder: Path) -> None:
        listed = [
            Shown(f"{sample.folder}/{sample.stem}.jpg", sample.items, sample.background)
            for sample in read_list(SAMPLE_LIST.read_text("utf-8"))
        ]
        self.shown = [*listed, *(Shown(key, (Item(label, None, 1.0),), "") for key, label in _ODD.items())]
        self.encoder = encoder
        self.rows = encoder.encode_images([_open(folder / shown.key) for shown in self.shown])

    def labels(self) -> list[str]:
        """Every object of the samples once."""
        return sorted({item.label for shown in self.shown for item in shown.items})

    def best(self, queries: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(number of the first hit, its cosine) for each query."""
        scores = self.encoder.encode_texts(list(queries)) @ self.rows.T
        return scores.argmax(1), scores.max(1)


def _open(path: Path) -> Image.Image:
    """The picture as the service reads it: turned by EXIF, on white, the first frame."""
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")


def answer_names(samples: Samples, vocabulary: Vocabulary, language: str) -> list[Answer]:
    """The bare name of each object of the samples. Right: the first hit shows a thing of that name."""
    names = [vocabulary.glyphs[vocabulary.by_label[label]].names[language] for label in samples.labels()]
    hits, scores = samples.best(names)
    answers = []
    for name, hit, score in zip(names, hits, scores, strict=True):
        shown = samples.shown[hit]
        meant = {vocabulary.glyphs[number].label for number in vocabulary.meanings[name]}
        answers.append(Answer(name, shown.key, float(score), any(item.label in meant for item in shown.items)))
    return answers


def answer_first_queries(samples: Samples) -> list[Answer]:
    lines = [line.partition("|") for line in _content(_FIRST)]
    hits, scores = samples.best([query.strip() for query, _, _ in lines])
    return [
        Answer(query.strip(), samples.shown[hit].key, float(score), _accepts(accepted, samples.shown[hit]))
        for (query, _, accepted), hit, score in zip(lines, hits, scores, strict=True)
    ]


def answer_off_topic(samples: Samples) -> list[Answer]:
    queries = _content(_OFF_TOPIC)
    hits, scores = samples.best(queries)
    return [
        Answer(query, samples.shown[hit].key, float(score), False)
        for query, hit, score in zip(queries, hits, scores, strict=True)
    ]


def _content(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]


def _accepts(accepted: str, shown: Shown) -> bool:
    """Whether the picture has one of `label*count@tint/background ; ...`."""
    return any(_shows(wanted.strip(), shown) for wanted in accepted.split(";"))


def _shows(wanted: str, shown: Shown) -> bool:
    rest, _, background = wanted.partition("/")
    rest, _, tint = rest.partition("@")
    label, _, count = rest.partition("*")
    fitting = [item for item in shown.items if item.label == label and (not tint or item.tint == tint)]
    return len(fitting) >= int(count or 1) and shown.background.startswith(background)


def examine_samples(samples: Samples, vocabulary: Vocabulary) -> list[Line]:
    """(g) bare names, (h) first queries, (i) the cosine of first hits, on and off topic, (j) places by themselves."""
    lines = []
    for language in LANGUAGES:
        answers = answer_names(samples, vocabulary, language)
        exam = f"(g) {len(answers)} bare names in {language} -> samples"
        lines.append(Line(exam, "R@1", _share(answers), 0.95 if language == "en" else 0.90))
    first, off = answer_first_queries(samples), answer_off_topic(samples)
    lines.append(Line(f"(h) {len(first)} first queries -> samples", "R@1", _share(first), 0.85))
    for name, answers in (("first", first), ("off-topic", off)):
        score = float(np.median([answer.score for answer in answers]))
        lines.append(Line(f"(i) {len(answers)} {name} queries -> samples", "median cosine at 1", score))
    for name, places in (("taught", ALONE), ("not taught", UNSEEN)):
        words = [(place, word) for place, listed in places.items() for word in listed.split("|")]
        share = float(np.mean([_share_on(samples, place, word) for place, word in words]))
        lines.append(Line(f"(j) {len(words)} words for places, {name} -> samples", "among the first 5", share))
    return lines


def _share_on(samples: Samples, place: str, word: str) -> float:
    """Of the first five pictures for a word, the share on that background."""
    (vector,) = samples.encoder.encode_texts([word])
    first = np.argsort(-(samples.rows @ vector))[:5]
    return float(np.mean([samples.shown[number].background.startswith(place) for number in first]))


def _share(answers: Sequence[Answer]) -> float:
    return float(np.mean([answer.right for answer in answers]))


def as_list(answers: Sequence[Answer]) -> str:
    """A Markdown table of queries with their first hits."""
    head = ["| query | first hit | cosine | right |", "|---|---|---|---|"]
    marks = {True: "yes", False: "no"}
    return "\n".join(head + [f"| {row.query} | {row.hit} | {row.score:.2f} | {marks[row.right]} |" for row in answers])
