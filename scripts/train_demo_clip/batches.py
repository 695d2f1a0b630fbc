"""An endless stream of training batches, put together in worker processes while the model trains.

Scenes come from the store with new captions, crops and colours. Batch `n` depends on the seed and on `n` only.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import CLIPTokenizer

from scripts.train_demo_clip.augment import augment
from scripts.train_demo_clip.backgrounds import BACKGROUNDS
from scripts.train_demo_clip.captions import BARE, FULL, LANGUAGE_ODDS, LOOSE, Caption, Captioner, Wording, satisfies
from scripts.train_demo_clip.colours import COLOUR_NAMES
from scripts.train_demo_clip.scene_store import EASY_SHARE, SceneStore
from scripts.train_demo_clip.scenes import Scene, ScenePlanner
from scripts.train_demo_clip.tokens import CONTEXT
from scripts.train_demo_clip.vocabulary import LANGUAGES, Vocabulary

_CURRICULUM = 0.2  # the share of the training in which scenes become harder
_WINDOW = 0.03  # scenes of about the same difficulty, as a share of the store
_DICTIONARY = 1.5  # entries for each scene


class Batch(TypedDict):
    """B scenes: rows (B,) of the store, and pixels (B, 3, 96, 96) uint8 unless the trainer reads those itself.

    Each scene has two captions, so `tokens` and `also_true` are pairs.

    `named` are the glyphs (B, G) that each caption names. `miscounted` (M, L): first captions with one wrong number, of
    the scenes in the rows `counted` (M,). `words` (W, L) are entries of the dictionary, `meant` (W, G) what they mean.
    """

    rows: torch.Tensor
    pixels: torch.Tensor | None
    tokens: tuple[torch.Tensor, torch.Tensor]
    also_true: tuple[torch.Tensor, torch.Tensor]
    named: tuple[torch.Tensor, torch.Tensor]
    counted: torch.Tensor
    miscounted: torch.Tensor
    words: torch.Tensor
    meant: torch.Tensor
    facts: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """The parts of the training that the table in README.md compares; all are on by default."""

    jitter: bool = True
    kinds: bool = True
    bare: bool = True
    dictionary: bool = True


class Picker:
    """Chooses the scenes of a batch: whole families, mostly of two backgrounds or of a few kinds of things.

    With many backgrounds the place alone would tell most pairs apart. With few kinds (dog, cat, fox, wolf ...) the
    model has to tell them apart by what differs.
    """

    def __init__(self, store: SceneStore, vocabulary: Vocabulary, kinds: bool) -> None:
        self.store, self.with_kinds = store, kinds
        subgroups = np.array([glyph.subgroup for glyph in vocabulary.glyphs])[store.first_glyphs]
        self._by_background = _group(store.backgrounds)
        self._by_kind = _group(subgroups)
        self._kind_odds = np.array([len(row) for row in self._by_kind.values()]) / len(subgroups)

    def pick(self, rng: np.random.Generator, progress: float, size: int) -> np.ndarray:
        """(size,) rows of the store."""
        families = self._families(rng)
        families = families[self._in_window(families, progress, size)]
        chosen = rng.choice(families, min(size, len(families)), replace=False)
        rows = np.concatenate(
            [np.arange(self.store.starts[family], self.store.starts[family + 1]) for family in chosen]
        )
        missing = max(0, size - len(rows))
        return np.concatenate([rows[:size], rng.integers(len(self.store), size=missing)])

    def _families(self, rng: np.random.Generator) -> np.ndarray:
        roll = rng.random()
        if self.with_kinds and roll < 0.3:
            kinds = rng.choice(list(self._by_kind), min(3, len(self._by_kind)), replace=False, p=self._kind_odds)
            return np.concatenate([self._by_kind[int(kind)] for kind in kinds])
        if roll < 0.8:
            places = rng.choice(list(self._by_background), min(2, len(self._by_background)), replace=False)
            return np.concatenate([self._by_background[int(place)] for place in places])
        return np.arange(len(self.store.backgrounds))

    def _in_window(self, families: np.ndarray, progress: float, least: int) -> np.ndarray:
        """(F,) bool: in the curriculum the scenes of its difficulty (`least` or more), later all but the easiest."""
        where = self.store.starts[families] / len(self.store)
        at = EASY_SHARE * progress / _CURRICULUM
        if at >= EASY_SHARE:
            late = where >= EASY_SHARE / 2
            return late if late.any() else ~late
        window = _WINDOW
        while (near := np.abs(where - at) <= window).sum() < least and window < 1:
            window *= 2
        return near


def _group(keys: np.ndarray) -> dict[int, np.ndarray]:
    """key -> the places that have it."""
    return {int(key): np.flatnonzero(keys == key) for key in np.unique(keys)}


class SceneStream(IterableDataset[Batch]):
    """Batches from number `first` to `last`; each worker makes every `num_workers`-th."""

    def __init__(
        self, store: SceneStore, planner: ScenePlanner, captioner: Captioner, tokenizer: CLIPTokenizer,
        looks: np.ndarray, size: int, seed: int, first: int, last: int, recipe: Recipe | None = None,
        with_pixels: bool = True,
    ) -> None:  # fmt: skip
        self.store, self.planner, self.captioner, self.tokenizer = store, planner, captioner, tokenizer
        self.encoder = tokenizer.backend_tokenizer
        self.encoder.enable_truncation(CONTEXT)
        self.encoder.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
        self.looks, self.size, self.seed, self.first, self.last = looks, size, seed, first, last
        self.recipe, self.with_pixels = recipe or Recipe(), with_pixels
        self.picker = Picker(store, captioner.vocabulary, self.recipe.kinds)

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        worker = get_worker_info()
        step = worker.num_workers if worker else 1
        for number in range(self.first + (worker.id if worker else 0), self.last, step):
            yield self.make(number)

    def make(self, number: int) -> Batch:
        """Batch `number` of the training."""
        rng = np.random.default_rng((self.seed, number))
        rows = self.picker.pick(rng, number / self.last, self.size)
        scenes = [self.store.scene(row) for row in rows]
        first, counted, miscounted = self._describe_and_miscount(scenes, rng)
        captions = first, [self._describe_loosely(scene, rng) for scene in scenes]
        true = [satisfies(row, scenes, self.captioner.own_colours, self._glyph_count) for row in captions]
        words, meant = self._look_up(rng)
        return Batch(
            rows=torch.from_numpy(rows),
            pixels=self._pixels(rows, rng) if self.with_pixels else None,
            tokens=(self._caption_tokens(captions[0]), self._caption_tokens(captions[1])),
            also_true=(torch.from_numpy(true[0]), torch.from_numpy(true[1])),
            named=(self._marks([row.glyphs for row in captions[0]]), self._marks([row.glyphs for row in captions[1]])),
            counted=torch.tensor(counted, dtype=torch.long),
            miscounted=self._caption_tokens(miscounted),
            words=self._tokens(words),
            meant=self._marks(meant),
            facts=self._facts(scenes),
        )

    @property
    def _glyph_count(self) -> int:
        return len(self.captioner.vocabulary.glyphs)

    def _pixels(self, rows: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        pixels = torch.from_numpy(self.store.pixels[rows]).permute(0, 3, 1, 2).contiguous()
        return (
            augment(pixels, torch.Generator().manual_seed(int(rng.integers(2**62)))) if self.recipe.jitter else pixels
        )

    def _look_up(self, rng: np.random.Generator) -> tuple[list[str], list[frozenset[int]]]:
        """Words of random glyphs in random languages, with all glyphs that each of them means."""
        entries = []
        for number in rng.integers(
            self._glyph_count, size=round(_DICTIONARY * self.size) if self.recipe.dictionary else 0
        ):
            language = str(rng.choice(LANGUAGES, p=[LANGUAGE_ODDS[lang] for lang in LANGUAGES]))
            entries.append(self.captioner.pick_entry(int(number), language, rng))
        return [text for text, _ in entries], [meaning for _, meaning in entries]

    def _describe_and_miscount(
        self, scenes: list[Scene], rng: np.random.Generator
    ) -> tuple[list[Caption], list[int], list[Caption]]:
        """(one caption per scene, rows whose caption names a number, the same captions with another number).

        Both versions use the same random draws, so they differ only in the number.
        """
        captions, counted, miscounted = [], [], []
        for row, scene in enumerate(scenes):
            wording, draws = FULL if rng.random() < 0.75 else Wording(), int(rng.integers(2**62))
            captions.append(self.captioner.describe(scene, np.random.default_rng(draws), wording))
            if any(term.count > 1 for term in captions[-1].terms):
                wrong = self.planner.miscount(scene, rng)
                counted.append(row)
                miscounted.append(self.captioner.describe(wrong, np.random.default_rng(draws), wording))
        return captions, counted, miscounted

    def _describe_loosely(self, scene: Scene, rng: np.random.Generator) -> Caption:
        if rng.random() < 0.04:
            return self.captioner.describe_place(scene, rng)
        return self.captioner.describe(scene, rng, BARE if self.recipe.bare and rng.random() < 0.4 else LOOSE)

    def _caption_tokens(self, captions: list[Caption]) -> torch.Tensor:
        return self._tokens([caption.text for caption in captions])

    def _tokens(self, texts: list[str]) -> torch.Tensor:
        """(N, L) token ids, padded to the longest text; (0, 1) without texts."""
        if not texts:
            return torch.zeros(0, 1, dtype=torch.long)
        return torch.tensor([entry.ids for entry in self.encoder.encode_batch(texts)])

    def _marks(self, rows: Sequence[Collection[int]]) -> torch.Tensor:
        """(N, G): 1 where a row has the glyph."""
        marks = torch.zeros(len(rows), self._glyph_count)
        for number, row in enumerate(rows):
            marks[number, list(row)] = 1
        return marks

    def _facts(self, scenes: list[Scene]) -> dict[str, torch.Tensor]:
        tints = torch.zeros(len(scenes), len(COLOUR_NAMES))
        for row, scene in enumerate(scenes):
            for group in scene.groups:
                if group.tint is not None:
                    tints[row, COLOUR_NAMES.index(group.tint)] = 1
        looks = [np.mean([self.looks[group.style, group.glyph] for group in scene.groups], axis=0) for scene in scenes]
        return {
            "glyphs": self._marks([[group.glyph for group in scene.groups] for scene in scenes]),
            "looks": torch.from_numpy(np.stack(looks)),
            "tints": tints,
            "background": torch.tensor([BACKGROUNDS.index(scene.background) for scene in scenes]),
            "objects": torch.tensor([scene.objects for scene in scenes]),
        }


def load_batches(stream: SceneStream, workers: int) -> DataLoader[Batch]:
    return DataLoader(
        stream,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
