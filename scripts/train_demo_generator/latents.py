"""Paint scenes and keep only their latents: `python -m scripts.train_demo_generator.latents --sources DIR`.

A thousand scenes a file, 1.2 MB. Files that are there stay; `--scenes` says how many there shall be. The training reads
new files while it runs.
"""

import argparse
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from tqdm import tqdm

from scripts.train_demo_clip.captions import Captioner
from scripts.train_demo_clip.scenes import Scene, ScenePainter, ScenePlanner, find_own_colours
from scripts.train_demo_clip.sources import Sources
from scripts.train_demo_clip.sprites import load_sprites
from scripts.train_demo_clip.vocabulary import load_vocabulary
from scripts.train_demo_generator.model import build_autoencoder
from scripts.train_demo_generator.prompts import STYLES, mix_of, plan_scenes

CHUNK = 1000
_BATCH = 50
_SEED = 11


@dataclass(frozen=True)
class Studio:
    """What makes scenes and their words."""

    planner: ScenePlanner
    captioner: Captioner


def open_studio(sources: Path, clip_cache: Path) -> Studio:
    emoji = Sources(sources)
    vocabulary = load_vocabulary(emoji.emojibase)
    sheet = load_sprites(emoji, vocabulary, clip_cache)
    return Studio(ScenePlanner(vocabulary, sheet, STYLES), Captioner(vocabulary, find_own_colours(sheet)))


def plan_chunk(planner: ScenePlanner, chunk: int) -> list[Scene]:
    """The scenes of a file; they depend on its number only."""
    rng = np.random.default_rng((_SEED, 0, chunk))
    return list(islice(plan_scenes(planner, rng, mix_of(chunk)), CHUNK))


def load_autoencoder(cache: Path) -> AutoencoderTiny:
    autoencoder = build_autoencoder()
    autoencoder.load_state_dict(torch.load(cache / "autoencoder.pt", weights_only=True, map_location="cpu")["model"])
    return autoencoder.eval()


def latent_file(cache: Path, chunk: int) -> Path:
    return cache / "latents" / f"{chunk:05}.npy"


@torch.inference_mode()
def encode(autoencoder: AutoencoderTiny, pictures: np.ndarray) -> np.ndarray:
    """(N, 96, 96, 3) uint8 -> (N, 6, 12, 12) float16."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return autoencoder.encode(pixels).latents.half().numpy()


class _Painter:
    """Paints and encodes one file at a time, in a worker process."""

    def __init__(self, planner: ScenePlanner, cache: Path) -> None:
        torch.set_num_threads(1)
        self.planner, self.cache, self.autoencoder = planner, cache, load_autoencoder(cache)
        self.painter = ScenePainter(planner.sheet, _SEED)

    def paint(self, chunk: int) -> int:
        rng, mix = np.random.default_rng((_SEED, 1, chunk)), mix_of(chunk)
        pictures = (self.painter.paint(scene, rng, ease=mix.ease) for scene in plan_chunk(self.planner, chunk))
        rows = [encode(self.autoencoder, np.stack(list(islice(pictures, _BATCH)))) for _ in range(CHUNK // _BATCH)]
        file = latent_file(self.cache, chunk)
        partial = file.with_suffix(".part.npy")
        np.save(partial, np.concatenate(rows))
        partial.replace(file)
        return chunk


_painters: list[_Painter] = []  # the one of this worker process


def _start_painter(planner: ScenePlanner, cache: Path) -> None:
    _painters.append(_Painter(planner, cache))


def _paint(chunk: int) -> int:
    return _painters[0].paint(chunk)


def paint_latents(planner: ScenePlanner, cache: Path, scenes: int, workers: int) -> None:
    """Paint the files that are missing."""
    (cache / "latents").mkdir(exist_ok=True)
    missing = [chunk for chunk in range(scenes // CHUNK) if not latent_file(cache, chunk).is_file()]
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _start_painter, (planner, cache))
    with pool, tqdm(total=len(missing), unit="thousand scenes", desc="painting") as bar:
        for work in as_completed(pool.submit(_paint, chunk) for chunk in missing):
            work.result()
            bar.update()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    home = Path.home() / ".cache"
    parser.add_argument("--sources", type=Path, default=Path("demo-clip-sources"), help="folder of `npm install`")
    parser.add_argument("--clip-cache", type=Path, default=home / "demo-clip", help="sprites")
    parser.add_argument("--cache", type=Path, default=home / "demo-generator")
    parser.add_argument("--scenes", type=int, default=120_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    studio = open_studio(arguments.sources, arguments.clip_cache)
    paint_latents(studio.planner, arguments.cache, arguments.scenes, arguments.workers)


if __name__ == "__main__":
    main()
