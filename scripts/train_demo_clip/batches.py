"""An endless stream of training batches, painted in worker processes while the model trains.

Batch `n` depends on the seed, on `n` and on the progress of the training, which sets the curriculum.
"""

import math
from collections.abc import Iterator
from multiprocessing.sharedctypes import Synchronized
from typing import TypedDict

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import CLIPTokenizer

from scripts.train_demo_clip.backgrounds import BACKGROUNDS
from scripts.train_demo_clip.captions import FULL, LOOSE, Caption, Captioner, Wording, satisfies
from scripts.train_demo_clip.colours import COLOUR_NAMES
from scripts.train_demo_clip.scenes import Mix, Scene, ScenePainter, ScenePlanner, pick_background
from scripts.train_demo_clip.tokens import CONTEXT


class Batch(TypedDict):
    """B scenes: pixels (B, 3, 96, 96) uint8; each scene has two captions, so `tokens` and `also_true` are pairs.

    `miscounted` (M, L): first captions with one wrong number, of the scenes in the rows `counted` (M,).
    """

    pixels: torch.Tensor
    tokens: tuple[torch.Tensor, torch.Tensor]
    also_true: tuple[torch.Tensor, torch.Tensor]
    counted: torch.Tensor
    miscounted: torch.Tensor
    facts: dict[str, torch.Tensor]


class SceneStream(IterableDataset[Batch]):
    """Batches from number `first` on; each worker makes every `num_workers`-th."""

    def __init__(
        self, planner: ScenePlanner, painter: ScenePainter, captioner: Captioner, tokenizer: CLIPTokenizer,
        looks: np.ndarray, size: int, seed: int, first: int, progress: "Synchronized[float]",
    ) -> None:  # fmt: skip
        self.planner, self.painter, self.captioner, self.tokenizer = planner, painter, captioner, tokenizer
        self.looks, self.size, self.seed, self.first, self.progress = looks, size, seed, first, progress

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        worker = get_worker_info()
        number = self.first + (worker.id if worker else 0)
        while True:
            yield self.make(np.random.default_rng((self.seed, number)), self.progress.value)
            number += worker.num_workers if worker else 1

    def make(self, rng: np.random.Generator, progress: float) -> Batch:
        """One batch at this progress of the training (0 to 1)."""
        mix = curriculum(progress)
        scenes = self._plan(rng, progress, mix)
        pixels = np.stack([self.painter.paint(scene, rng, ease=mix.ease) for scene in scenes])
        first, counted, miscounted = self._describe_and_miscount(scenes, rng)
        captions = first, [self._describe_loosely(scene, rng) for scene in scenes]
        true = [satisfies(row, scenes, self.captioner.own_colours, self._glyph_count) for row in captions]
        return Batch(
            pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
            tokens=(self._tokens(captions[0]), self._tokens(captions[1])),
            also_true=(torch.from_numpy(true[0]), torch.from_numpy(true[1])),
            counted=torch.tensor(counted, dtype=torch.long),
            miscounted=self._tokens(miscounted),
            facts=self._facts(scenes),
        )

    @property
    def _glyph_count(self) -> int:
        return len(self.planner.vocabulary.glyphs)

    def _plan(self, rng: np.random.Generator, progress: float, mix: Mix) -> list[Scene]:
        """First single objects, later several; and more and more families of scenes that differ in one thing.

        Most batches use only two backgrounds. Otherwise the place alone would tell most pairs apart, not the objects.
        """
        shared = [pick_background(rng, mix.plain) for _ in range(2)] if rng.random() < 0.75 else None
        scenes: list[Scene] = []
        while len(scenes) < self.size:
            family = [self.planner.plan(rng, mix, str(rng.choice(shared)) if shared else None)]
            if rng.random() < 0.15 + 0.35 * progress:
                family += [self.planner.vary(family[0], rng, mix) for _ in range(rng.integers(1, 4))]
            scenes += family
        return scenes[: self.size]

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
        return self.captioner.describe(scene, rng, LOOSE)

    def _tokens(self, captions: list[Caption]) -> torch.Tensor:
        """(N, L) token ids, padded to the longest caption; (0, 1) without captions."""
        if not captions:
            return torch.zeros(0, 1, dtype=torch.long)
        texts = [caption.text for caption in captions]
        rows = self.tokenizer(texts, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
        return rows["input_ids"]

    def _facts(self, scenes: list[Scene]) -> dict[str, torch.Tensor]:
        glyphs = torch.zeros(len(scenes), self._glyph_count)
        tints = torch.zeros(len(scenes), len(COLOUR_NAMES))
        for row, scene in enumerate(scenes):
            for group in scene.groups:
                glyphs[row, group.glyph] = 1
                if group.tint is not None:
                    tints[row, COLOUR_NAMES.index(group.tint)] = 1
        looks = [np.mean([self.looks[group.style, group.glyph] for group in scene.groups], axis=0) for scene in scenes]
        return {
            "glyphs": glyphs,
            "looks": torch.from_numpy(np.stack(looks)),
            "tints": tints,
            "background": torch.tensor([BACKGROUNDS.index(scene.background) for scene in scenes]),
            "objects": torch.tensor([scene.objects for scene in scenes]),
        }


def curriculum(progress: float) -> Mix:
    """The mix of scenes: single, large, upright objects at the start, the full variety from 45 % of the training on."""
    blend = 0.5 - 0.5 * math.cos(math.pi * min(1.0, progress / 0.45))
    return Mix(
        single=1.0 - 0.4 * blend,
        tinted=0.05 + 0.3 * blend,
        several=0.05 + 0.45 * blend,
        plain=0.8 - 0.45 * blend,
        ease=1 - blend,
    )


def load_batches(stream: SceneStream, workers: int) -> DataLoader[Batch]:
    return DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=3 if workers else None)
