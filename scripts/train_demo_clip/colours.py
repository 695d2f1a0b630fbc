"""The colours that the model learns: how to tint an object, and which colours a drawing has by itself.

A tint keeps the drawing's light and shadow: luminance goes through a ramp black -> colour -> white.
"""

import numpy as np

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 32, 36),
    "orange": (244, 134, 24),
    "yellow": (248, 212, 36),
    "green": (46, 158, 62),
    "blue": (36, 98, 214),
    "purple": (132, 62, 176),
    "pink": (244, 128, 178),
    "brown": (128, 82, 48),
    "black": (30, 30, 34),
    "white": (240, 240, 242),
    "grey": (134, 138, 144),
}
COLOUR_NAMES = tuple(COLOURS)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_OWN_SHARE = 0.3  # a drawing counts as red if at least this share of it is red


def _ramp(colour: tuple[int, int, int]) -> np.ndarray:
    """(256, 3) uint8: the new colour for each luminance."""
    light = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    base, shadow = np.array(colour, np.float32), np.array(colour, np.float32) * 0.3
    dark = shadow + (base - shadow) * np.minimum(light / 0.6, 1)
    bright = (255 - base) * np.clip((light - 0.6) / 0.4, 0, 1) * 0.45
    return np.clip(dark + bright, 0, 255).astype(np.uint8)


_RAMPS = {name: _ramp(colour) for name, colour in COLOURS.items()}


def tint(sprite: np.ndarray, colour: str) -> np.ndarray:
    """Tint `(H, W, 4)` uint8 with one colour. Shadows and alpha stay; the luminance is stretched first."""
    luminance = sprite[..., :3] @ _LUMA
    seen = luminance[sprite[..., 3] > 128]
    low, high = np.percentile(seen, (3, 97)) if seen.size else (0.0, 255.0)
    stretched = np.clip((luminance - low) / max(high - low, 40.0) * 215 + 40, 0, 255).astype(np.uint8)
    painted = sprite.copy()
    painted[..., :3] = _RAMPS[colour][stretched]
    return painted


def own_colours(sprite: np.ndarray) -> np.ndarray:
    """(11,) bool: the named colours that cover at least 30 % of the drawing."""
    return colour_shares(sprite) >= _OWN_SHARE


def colour_shares(sprite: np.ndarray) -> np.ndarray:
    """(11,) float: the share of opaque pixels that are nearest to each named colour, by hue, then by lightness."""
    pixels = sprite[sprite[..., 3] > 128][:, :3].astype(np.float32) / 255
    if not len(pixels):
        return np.zeros(len(COLOURS))
    names = np.array([COLOUR_NAMES.index(name) for name in _classify(pixels)])
    return np.bincount(names, minlength=len(COLOURS)) / len(names)


def _classify(pixels: np.ndarray) -> np.ndarray:
    high, low = pixels.max(1), pixels.min(1)
    chroma = high - low
    red, green, blue = pixels.T
    safe = np.maximum(chroma, 1e-6)
    hue = (
        np.select(
            [high == red, high == green],
            [((green - blue) / safe) % 6, (blue - red) / safe + 2],
            (red - green) / safe + 4,
        )
        * 60
    )
    grey = chroma < 0.13
    warm_dark = (hue < 50) & (high < 0.66) & (high >= 0.2)
    pale_red = ((hue < 20) | (hue > 330)) & (low > 0.38)
    return np.select(
        [
            grey & (high > 0.85),
            grey & (high < 0.3),
            grey,
            high < 0.18,
            warm_dark & (hue >= 12),
            pale_red,
            hue < 16,
            hue < 42,
            hue < 68,
            hue < 170,
            hue < 258,
            hue < 295,
            hue < 343,
        ],
        [
            "white",
            "black",
            "grey",
            "black",
            "brown",
            "pink",
            "red",
            "orange",
            "yellow",
            "green",
            "blue",
            "purple",
            "pink",
        ],
        "red",
    )
