"""The store's pictures in the memory of a GPU, which changes them itself: no other process has to read them."""

import numpy as np
import torch

from scripts.train_demo_clip.augment import augment

_AT_ONCE = 20_000


class Gallery:
    """`take(rows)` gives (B, 3, 96, 96) uint8 on the GPU."""

    def __init__(self, pixels: np.ndarray, seed: int) -> None:
        self.draws = torch.Generator("cuda").manual_seed(seed)
        self.pixels = torch.empty(pixels.shape, dtype=torch.uint8, device="cuda")
        for start in range(0, len(pixels), _AT_ONCE):
            part = np.ascontiguousarray(pixels[start : start + _AT_ONCE])
            self.pixels[start : start + len(part)] = torch.from_numpy(part)

    def take(self, rows: torch.Tensor, jitter: bool = True) -> torch.Tensor:
        """The pictures in these rows of the store (B,); with `jitter` changed in another way each time."""
        pixels = self.pixels[rows.to("cuda", non_blocking=True)].permute(0, 3, 1, 2)
        return augment(pixels, self.draws) if jitter else pixels
