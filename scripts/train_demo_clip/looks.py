"""Describes a drawing's look in a few numbers. This dense target teaches shapes faster than names alone.

`describe_looks` -> (S, G, 2 * LOOKS) float32: principal components of the small picture itself, then of the average
of its glyph over all trained styles.
"""

import numpy as np

from scripts.train_demo_clip.sources import HELD_OUT_STYLE, MONOCHROME_STYLES
from scripts.train_demo_clip.sprites import SpriteSheet

LOOKS = 96
_BLOCK = 6  # 96 px sprites become 16 x 16
_FLOOR = 0.02  # components with less than this share of the largest variance are not amplified


def describe_looks(sheet: SpriteSheet) -> np.ndarray:
    """Whitened components; zero if a style does not have the glyph. The held-out style is not used."""
    trained = sheet.present.copy()
    trained[sheet.styles.index(HELD_OUT_STYLE)] = False
    coloured = np.array([style not in MONOCHROME_STYLES for style in sheet.styles])[:, None] & trained
    small = np.zeros((*trained.shape, (96 // _BLOCK) ** 2 * 4), np.float32)
    for style, glyph in zip(*np.nonzero(trained), strict=True):
        small[style, glyph] = _shrink(sheet.pixels[style, glyph])
    weights = (coloured if coloured.any() else trained)[..., None].astype(np.float32)
    average = (small * weights).sum(0) / np.maximum(weights.sum(0), 1)
    own, kind = _components(small[trained]), _components(average)
    looks = np.zeros((*trained.shape, 2 * LOOKS), np.float32)
    looks[trained, :LOOKS] = own
    looks[..., LOOKS:] = kind
    return looks * trained[..., None]


def _shrink(sprite: np.ndarray) -> np.ndarray:
    """(96, 96, 4) uint8 -> 1,024 floats: colours relative to grey, then the outline."""
    pixels = sprite.astype(np.float32) / 255
    alpha = pixels[..., 3:]
    flat = np.concatenate([(pixels[..., :3] - 0.5) * alpha, alpha - 0.5], 2)
    side = len(sprite) // _BLOCK
    return flat.reshape(side, _BLOCK, side, _BLOCK, 4).mean((1, 3)).ravel()


def _components(rows: np.ndarray) -> np.ndarray:
    """(N, LOOKS) with a variance of about 1, and less for the weakest components."""
    centred = rows - rows.mean(0)
    _, strength, axes = np.linalg.svd(centred, full_matrices=False)
    spread = strength[:LOOKS] / len(rows) ** 0.5
    return centred @ axes[:LOOKS].T / np.sqrt(spread**2 + _FLOOR * spread[0] ** 2)
