"""Scenes painted once: pictures in a memory-mapped file, their plans beside it.

A scene can be learnt from many times if captions, crop and colours are new each time, so both cores learn and neither
paints. `open_store` paints what is missing with all cores; after an interruption it continues.
The first fifth of the store goes from large single objects to the full variety, for the curriculum.
"""

import json
import math
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scripts.train_demo_clip.backgrounds import BACKGROUNDS
from scripts.train_demo_clip.colours import COLOUR_NAMES
from scripts.train_demo_clip.scenes import IMAGE_PX, Group, Mix, Scene, ScenePainter, ScenePlanner, pick_background

CHUNK = 1000
POOL = 48  # backgrounds of each kind
EASY_SHARE = 0.2
_MOST_GROUPS = 3
_FAMILY_ODDS = 0.4
_EMPTY = -1
# One scene: its family, its background, and (glyph, style, count, tint) of each group; -1 stands for none.
_PLAN = np.dtype([("family", np.int32), ("background", np.uint8), ("groups", np.int16, (_MOST_GROUPS, 4))])


def variety(blend: float) -> Mix:
    """The mix of scenes: single, large, upright objects at 0, the full variety at 1."""
    return Mix(
        single=1.0 - 0.4 * blend,
        tinted=0.05 + 0.3 * blend,
        several=0.05 + 0.45 * blend,
        plain=0.8 - 0.45 * blend,
        ease=1 - blend,
    )


def ease_in(share: float) -> float:
    """0 to 1 along a half cosine."""
    return 0.5 - 0.5 * math.cos(math.pi * min(1.0, share))


@dataclass(frozen=True)
class SceneStore:
    """N scenes: `pixels` (N, 96, 96, 3) uint8 and `plans` (N,), both memory-mapped. A family stands together."""

    pixels: np.ndarray
    plans: np.ndarray

    def __len__(self) -> int:
        return len(self.plans)

    def scene(self, row: int) -> Scene:
        plan = self.plans[row]
        groups = (
            Group(int(glyph), int(style), int(count), None if tint == _EMPTY else COLOUR_NAMES[tint])
            for glyph, style, count, tint in plan["groups"]
            if glyph != _EMPTY
        )
        return Scene(tuple(groups), BACKGROUNDS[plan["background"]])

    @cached_property
    def starts(self) -> np.ndarray:
        """(F + 1,): the first row of each family, then N."""
        family = np.asarray(self.plans["family"])
        return np.concatenate([[0], np.flatnonzero(np.diff(family)) + 1, [len(family)]])

    @cached_property
    def backgrounds(self) -> np.ndarray:
        """(F,): the background of each family's first scene."""
        return np.asarray(self.plans["background"])[self.starts[:-1]]

    @cached_property
    def first_glyphs(self) -> np.ndarray:
        """(F,): the first glyph of each family's first scene."""
        return np.asarray(self.plans["groups"])[self.starts[:-1], 0, 0]


def open_store(folder: Path, planner: ScenePlanner, scenes: int, seed: int) -> SceneStore:
    """The store in `folder`, painted as far as it is not there yet. Other scenes than these are painted over."""
    folder.mkdir(parents=True, exist_ok=True)
    chunks = math.ceil(scenes / CHUNK)
    made_of = {"scenes": chunks * CHUNK, "seed": seed, **planner.made_of()}
    note, done_file = folder / "made_of.json", folder / "done.npy"
    fresh = not (note.is_file() and json.loads(note.read_text()) == made_of and done_file.is_file())
    if fresh:
        note.unlink(missing_ok=True)
        _create(folder, "pixels", (chunks * CHUNK, IMAGE_PX, IMAGE_PX, 3), np.dtype(np.uint8))
        _create(folder, "plans", (chunks * CHUNK,), _PLAN)
        _create(folder, "done", (chunks,), np.dtype(np.bool_))
        note.write_text(json.dumps(made_of))
    done = np.load(done_file, mmap_mode="r+")
    missing = [int(chunk) for chunk in np.flatnonzero(~done)]
    if missing:
        _paint(folder, planner, missing, chunks, seed, done)
    return SceneStore(np.load(folder / "pixels.npy", mmap_mode="r"), np.load(folder / "plans.npy", mmap_mode="r"))


def _create(folder: Path, name: str, shape: tuple[int, ...], kind: np.dtype) -> None:
    np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=shape)


def _paint(folder: Path, planner: ScenePlanner, missing: list[int], chunks: int, seed: int, done: np.ndarray) -> None:
    bar = tqdm(total=chunks, initial=chunks - len(missing), unit="thousand scenes", desc="painting")
    workers = ProcessPoolExecutor(
        os.cpu_count(), multiprocessing.get_context("fork"), _start_painter, (folder, planner, chunks, seed)
    )
    with bar, workers as pool:
        for work in as_completed(pool.submit(_paint_chunk, chunk) for chunk in missing):
            done[work.result()] = True
            bar.update()


_painters: list["_ChunkPainter"] = []  # the one of this worker process


def _start_painter(folder: Path, planner: ScenePlanner, chunks: int, seed: int) -> None:
    _painters.append(_ChunkPainter(folder, planner, chunks, seed))


def _paint_chunk(chunk: int) -> int:
    return _painters[0].paint(chunk)


class _ChunkPainter:
    """Plans and paints a thousand scenes at a time. A chunk depends on the seed and its number only."""

    def __init__(self, folder: Path, planner: ScenePlanner, chunks: int, seed: int) -> None:
        self.planner, self.chunks, self.seed = planner, chunks, seed
        self.painter = ScenePainter(planner.sheet, seed, POOL)
        self.pixels = np.load(folder / "pixels.npy", mmap_mode="r+")
        self.plans = np.load(folder / "plans.npy", mmap_mode="r+")

    def paint(self, chunk: int) -> int:
        rng = np.random.default_rng((self.seed, 1, chunk))
        mix = variety(ease_in((chunk + 0.5) / self.chunks / EASY_SHARE))
        first = chunk * CHUNK
        for row, (family, scene) in zip(range(first, first + CHUNK), self._families(rng, mix, first), strict=False):
            self.plans[row] = _as_plan(family, scene)
            self.pixels[row] = self.painter.paint(scene, rng, ease=mix.ease)
        return chunk

    def _families(self, rng: np.random.Generator, mix: Mix, number: int) -> Iterator[tuple[int, Scene]]:
        """Endless scenes with the number of their family: scenes that differ in one thing."""
        while True:
            scene = self.planner.plan(rng, mix, pick_background(rng, mix.plain))
            yield number, scene
            if rng.random() < _FAMILY_ODDS:
                for _ in range(rng.integers(1, 4)):
                    yield number, self.planner.vary(scene, rng, mix)
            number += 1


def _as_plan(family: int, scene: Scene) -> tuple[int, int, np.ndarray]:
    groups = np.full((_MOST_GROUPS, 4), _EMPTY, np.int16)
    for place, group in enumerate(scene.groups):
        tint = _EMPTY if group.tint is None else COLOUR_NAMES.index(group.tint)
        groups[place] = (group.glyph, group.style, group.count, tint)
    return family, BACKGROUNDS.index(scene.background), groups
