"""Loads a CLIP-style model and encodes texts and pictures to rows of unit length.

It loads only through `AutoModel` and `AutoProcessor`, as the service does.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor


class Encoder:
    """`encode_texts` and `encode_images` return (N, D) float32, unit rows."""

    def __init__(self, folder: Path) -> None:
        self.model = AutoModel.from_pretrained(folder).eval()
        self.processor = AutoProcessor.from_pretrained(folder)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], batch: int = 256) -> np.ndarray:
        rows = []
        for start in range(0, len(texts), batch):
            tokens = self.processor(
                text=list(texts[start : start + batch]), padding=True, truncation=True, return_tensors="pt"
            )
            pooled = self.model.text_model(**tokens).pooler_output
            rows.append(self.model.text_projection(pooled).numpy())
        return _unit(np.concatenate(rows))

    @torch.inference_mode()
    def encode_images(self, pictures: Sequence[Image.Image | np.ndarray], batch: int = 64) -> np.ndarray:
        rows = []
        for start in range(0, len(pictures), batch):
            pixels = self.processor(images=list(pictures[start : start + batch]), return_tensors="pt")["pixel_values"]
            rows.append(
                self.model.visual_projection(self.model.vision_model(pixel_values=pixels).pooler_output).numpy()
            )
        return _unit(np.concatenate(rows))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
