"""Measure the demo generator with the demo CLIP: `python -m scripts.train_demo_generator.evaluate --sources DIR`.

Of each picture the demo CLIP ranks the prompt among 49 other prompts of the exam. No prompt's pair of a thing and a
colour, place or number was ever shown in training. `--checkpoint` measures the newest checkpoint instead of a folder.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from scripts.train_demo_clip.encoder import Encoder
from scripts.train_demo_clip.exams import Line
from scripts.train_demo_clip.scenes import ScenePainter
from scripts.train_demo_generator.drawing import GUIDANCE, STEPS, draw, load_pipeline
from scripts.train_demo_generator.export import load_checkpoint
from scripts.train_demo_generator.latents import Studio, open_studio
from scripts.train_demo_generator.prompts import EXAM_SEED, Prompt, bare_prompts, exam_prompts

AMONG = 50
TOP = 5
TARGET = 0.6


def ranks(scores: np.ndarray, among: int = AMONG) -> np.ndarray:
    """(N,): the place, from 1, of each picture's own prompt among `among` prompts; `scores` (N pictures, N prompts)."""
    rng = np.random.default_rng(EXAM_SEED)
    places = []
    for number, row in enumerate(scores):
        others = rng.permutation(np.delete(row, number))[: among - 1]
        places.append(1 + int((others >= row[number]).sum()))
    return np.array(places)


def share_in_top(places: np.ndarray, top: int = TOP) -> float:
    return float((places <= top).mean())


class Judge:
    """Ranks prompts with the demo CLIP."""

    def __init__(self, clip: Path, prompts: Sequence[Prompt]) -> None:
        self.encoder, self.prompts = Encoder(clip), prompts
        self.texts = [prompt.text for prompt in prompts]
        self.words = self.encoder.encode_texts(self.texts)

    def lines(self, pictures: np.ndarray, what: str, target: float | None = None) -> list[Line]:
        places = ranks(self.encoder.encode_images(list(pictures)) @ self.words.T)
        lines = [
            Line(what, f"top {TOP} of {AMONG}", share_in_top(places), target),
            Line(what, f"top 1 of {AMONG}", share_in_top(places, 1)),
        ]
        kinds = sorted({prompt.kind for prompt in self.prompts})
        for kind in kinds if len(kinds) > 1 else ():
            own = places[[prompt.kind == kind for prompt in self.prompts]]
            lines.append(Line(what, f"top {TOP}, held-out {kind}", share_in_top(own)))
        return lines


def paint(studio: Studio, prompts: Sequence[Prompt]) -> np.ndarray:
    """What the scene painter makes of the prompts."""
    painter, rng = ScenePainter(studio.planner.sheet, EXAM_SEED, pool=8), np.random.default_rng(EXAM_SEED)
    return np.stack([painter.paint(prompt.scene, rng, plain_style=True, ease=1.0) for prompt in prompts])


def psnr(pictures: np.ndarray, copies: np.ndarray) -> float:
    """The mean over pictures, dB."""
    error = np.square(pictures.astype(np.float64) - copies).mean(axis=(1, 2, 3))
    return float((10 * np.log10(255**2 / error)).mean())


@torch.inference_mode()
def reconstruct(autoencoder: torch.nn.Module, pictures: np.ndarray) -> np.ndarray:
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    copies = autoencoder.decode(autoencoder.encode(pixels).latents).sample.permute(0, 2, 3, 1)
    return ((copies + 1) * 127.5).round().clamp(0, 255).byte().numpy()


def examine(options: argparse.Namespace, pipeline: StableDiffusionPipeline, studio: Studio) -> Iterator[Line]:
    exam = exam_prompts(studio.planner, studio.captioner)[: options.prompts]
    judge = Judge(options.clip, exam)
    if options.limits:
        painted = paint(studio, exam)
        copies = reconstruct(pipeline.vae, painted)
        yield from judge.lines(painted, "painted scenes")
        yield from judge.lines(copies, "reconstructed scenes")
        yield Line("reconstructed scenes", "PSNR, dB", psnr(painted, copies))
    pictures = draw(pipeline, judge.texts, range(len(exam)), options.guidance, options.steps)
    yield from judge.lines(pictures, f"{len(exam)} held-out prompts", TARGET)
    if options.bare:
        judge = Judge(options.clip, bare_prompts(studio.planner, studio.captioner)[: options.prompts])
        pictures = draw(pipeline, judge.texts, range(len(judge.texts)), options.guidance, options.steps)
        yield from judge.lines(pictures, f"{len(judge.texts)} things alone, not held out")


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    home = Path.home() / ".cache"
    parser.add_argument("--model", type=Path, default=Path("models/demo-generator"))
    parser.add_argument("--checkpoint", action="store_true", help="the newest checkpoint in --cache")
    parser.add_argument("--clip", type=Path, default=Path("models/demo-clip"), help="ranks the prompts")
    parser.add_argument("--sources", type=Path, default=Path("demo-clip-sources"), help="folder of `npm install`")
    parser.add_argument("--clip-cache", type=Path, default=home / "demo-clip", help="sprites")
    parser.add_argument("--cache", type=Path, default=home / "demo-generator")
    parser.add_argument("--prompts", type=int, default=200, help="how many of the exam's 200")
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--limits", action="store_true", help="also what painted scenes and their reconstructions get")
    parser.add_argument("--bare", action="store_true", help="also each thing alone (not held out)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(arguments)


def main() -> None:
    options = read_options()
    pipeline = load_checkpoint(options.cache) if options.checkpoint else load_pipeline(options.model)
    pipeline.set_progress_bar_config(disable=True)
    rows = []
    for line in examine(options, pipeline, open_studio(options.sources, options.clip_cache)):
        print(f"{line.exam:40} {line.measure:34} {line.value:.3f}", flush=True)
        row = {"exam": line.exam, "measure": line.measure, "value": round(line.value, 4)}
        rows.append(row if line.target is None else row | {"target": line.target, "reached": line.reached})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
