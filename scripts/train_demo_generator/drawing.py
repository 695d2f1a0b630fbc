"""Draws many prompts with a pipeline folder, as the evaluation and the contact sheet do."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from app.models.generator.quiet import quiet_diffusers

STEPS = 20
GUIDANCE = 4.0


def load_pipeline(folder: Path) -> StableDiffusionPipeline:
    with quiet_diffusers():
        pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(
    pipeline: StableDiffusionPipeline, texts: Sequence[str], seeds: Sequence[int], guidance: float = GUIDANCE,
    steps: int = STEPS, batch: int = 25,
) -> np.ndarray:  # fmt: skip
    """(N, 96, 96, 3) uint8, one picture a text, the first that comes."""
    rows = []
    for start in range(0, len(texts), batch):
        part = list(texts[start : start + batch])
        noise = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + batch]]
        with quiet_diffusers():
            drawn = pipeline(
                part, num_inference_steps=steps, guidance_scale=guidance, generator=noise, output_type="np"
            ).images
        rows.append((drawn * 255).round().astype(np.uint8))
    return np.concatenate(rows)
