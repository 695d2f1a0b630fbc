"""Drawn backgrounds: sky, night, sunset, grass, sea, sand, snow, room, and plain colours.

`draw_background(kind, side_px, rng)` -> RGB picture. Training (small) and samples (large) use the same code.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scripts.train_demo_clip.colours import COLOURS

Colour = tuple[int, ...]
PLAIN = tuple(f"plain-{name}" for name in COLOURS)
DRAWN = ("sky", "night", "sunset", "grass", "sea", "sand", "snow", "room")
BACKGROUNDS = (*DRAWN, *PLAIN)
HORIZON = {"grass": 0.5, "sea": 0.5, "sand": 0.52, "snow": 0.52, "room": 0.68, "sunset": 0.68}


def draw_background(kind: str, side_px: int, rng: np.random.Generator, oversample: int = 2) -> Image.Image:
    """One RGB background of `side_px` x `side_px`, drawn `oversample` times larger for smooth edges."""
    side = side_px * oversample
    picture = _plain(kind.removeprefix("plain-"), side, rng) if kind in PLAIN else _DRAW[kind](side, rng)
    return picture.resize((side_px, side_px), Image.Resampling.BOX)


def _gradient(side: int, top: Colour, bottom: Colour, power: float = 1.0) -> Image.Image:
    ramp = np.linspace(0, 1, side)[:, None, None] ** power
    rows = np.array(top)[None, None] * (1 - ramp) + np.array(bottom)[None, None] * ramp
    return Image.fromarray(np.broadcast_to(rows, (side, side, 3)).astype(np.uint8))


def _jitter(colour: Colour, rng: np.random.Generator, spread: int = 14) -> Colour:
    neutral = max(colour) - min(colour) < 16  # a grey stays grey
    shifts = [rng.integers(-spread, spread + 1)] * 3 if neutral else rng.integers(-spread, spread + 1, 3)
    return _clip(tuple(int(part + shift) for part, shift in zip(colour, shifts, strict=True)))


def _ridge(
    side: int, level: float, swing: float, rng: np.random.Generator, waves: int = 3
) -> list[tuple[float, float]]:
    """Points of a wavy line from left to right around `level` (share of the height)."""
    x = np.linspace(0, 1, 48)
    y = sum(
        rng.uniform(0.3, 1) / (k + 1) * np.sin(2 * np.pi * (k + 1) * (0.5 * x + rng.random())) for k in range(waves)
    )
    return [(float(px) * side, (level + swing * float(py)) * side) for px, py in zip(x, y, strict=True)]


def _fill_below(picture: Image.Image, line: list[tuple[float, float]], top: Colour, bottom: Colour) -> None:
    """Fill everything below `line` with a vertical gradient."""
    side = picture.width
    start = max(0.0, min(y for _, y in line) / side)
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).polygon([*line, (side, side), (0, side)], fill=255)
    ramp = np.clip((np.linspace(0, 1, side) - start) / max(1 - start, 1e-3), 0, 1)[:, None, None]
    rows = np.array(top)[None, None] * (1 - ramp) + np.array(bottom)[None, None] * ramp
    picture.paste(Image.fromarray(np.broadcast_to(rows, (side, side, 3)).astype(np.uint8)), (0, 0), mask)


def _glow(picture: Image.Image, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
    side = picture.width
    rows, columns = np.mgrid[0:side, 0:side] / side
    falloff = np.exp(-(((columns - x) ** 2 + (rows - y) ** 2) / radius**2)) * strength
    pixels = np.asarray(picture) * (1 - falloff[..., None]) + np.array(colour) * falloff[..., None]
    picture.paste(Image.fromarray(pixels.astype(np.uint8)))


def _cloud(picture: Image.Image, x: float, y: float, size: float, rng: np.random.Generator, shade: Colour) -> None:
    side = picture.width
    layer = Image.new("L", picture.size)
    pen = ImageDraw.Draw(layer)
    for offset in np.linspace(-1, 1, 6):
        radius = size * (0.42 - 0.22 * abs(offset)) * rng.uniform(0.8, 1.15)
        cx, cy = x + offset * size, y - radius * rng.uniform(0.3, 0.7)
        pen.ellipse([(cx - radius) * side, (cy - radius) * side, (cx + radius) * side, (cy + radius) * side], fill=235)
    pen.rectangle([0, y * side, side, side], fill=0)
    pen.rounded_rectangle(
        [(x - 1.15 * size) * side, (y - 0.1 * size) * side, (x + 1.15 * size) * side, (y + 0.08 * size) * side],
        radius=0.09 * size * side,
        fill=235,
    )
    picture.paste(shade, (0, 0), layer.filter(ImageFilter.GaussianBlur(side * 0.003)))


def _clouds(picture: Image.Image, rng: np.random.Generator, low: float, high: float, most: int = 4) -> None:
    for _ in range(rng.integers(1, most + 1)):
        shade = _jitter((250, 252, 255), rng, 4)
        _cloud(picture, rng.random(), rng.uniform(low, high), rng.uniform(0.07, 0.17), rng, shade)


def _sky_gradient(side: int, rng: np.random.Generator) -> Image.Image:
    top, bottom = [
        ((62, 142, 226), (188, 226, 250)),
        ((92, 176, 242), (214, 240, 252)),
        ((38, 120, 206), (156, 212, 246)),
    ][rng.integers(3)]
    return _gradient(side, _jitter(top, rng), _jitter(bottom, rng), 0.8)


def _sky(side: int, rng: np.random.Generator) -> Image.Image:
    picture = _sky_gradient(side, rng)
    if rng.random() < 0.5:
        _glow(picture, rng.random(), rng.uniform(0, 0.25), 0.3, (255, 252, 226), 0.7)
    _clouds(picture, rng, 0.12, 0.95, 6)
    return picture


def _night(side: int, rng: np.random.Generator) -> Image.Image:
    top, bottom = [((8, 12, 38), (36, 48, 104)), ((14, 10, 44), (66, 48, 110)), ((6, 18, 42), (22, 62, 98))][
        rng.integers(3)
    ]
    picture = _gradient(side, _jitter(top, rng, 5), _jitter(bottom, rng, 8))
    _stars(picture, rng)
    if rng.random() < 0.75:
        level = rng.uniform(0.72, 0.86)
        _fill_below(picture, _ridge(side, level - 0.07, 0.04, rng), (24, 32, 70), (16, 22, 50))
        _fill_below(picture, _ridge(side, level, 0.03, rng), (16, 24, 50), (8, 12, 30))
    return picture


def _stars(picture: Image.Image, rng: np.random.Generator) -> None:
    side, pen = picture.width, ImageDraw.Draw(picture)
    for _ in range(rng.integers(45, 110)):
        x, y = rng.random(2) * side
        radius = side * rng.choice([0.0016, 0.0026, 0.005], p=[0.5, 0.36, 0.14])
        light = int(rng.integers(170, 256))
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=(light, light, min(255, light + 10)))


def _sunset(side: int, rng: np.random.Generator, water: bool | None = None) -> Image.Image:
    """Over water or over land; at random if `water` is None."""
    tops = [(96, 52, 130), (62, 58, 132), (188, 70, 92)]
    picture = _gradient(side, _jitter(tops[rng.integers(3)], rng), _jitter((255, 170, 84), rng), 0.75)
    level, x = rng.uniform(0.62, 0.74), rng.uniform(0.2, 0.8)
    _glow(picture, x, level - 0.06, 0.34, (255, 226, 140), 0.8)
    radius, y = rng.uniform(0.07, 0.11), level - rng.uniform(0.0, 0.07)
    ImageDraw.Draw(picture).ellipse(
        [(x - radius) * side, (y - radius) * side, (x + radius) * side, (y + radius) * side], fill=(255, 236, 170)
    )
    if rng.random() < 0.5 if water is None else water:
        _fill_below(picture, [(0, level * side), (side, level * side)], (232, 128, 92), (92, 58, 116))
        _glints(picture, rng, level, (255, 208, 140))
    else:
        _fill_below(picture, _ridge(side, level, 0.04, rng), (124, 58, 96), (92, 44, 84))
        _fill_below(picture, _ridge(side, level + 0.1, 0.03, rng), (82, 38, 76), (48, 26, 60))
    return picture


def _glints(picture: Image.Image, rng: np.random.Generator, level: float, colour: Colour) -> None:
    """Short bright strokes on water, longer near the viewer."""
    side, pen = picture.width, ImageDraw.Draw(picture)
    for _ in range(rng.integers(16, 34)):
        depth = rng.random()
        y, length = level + 0.02 + depth * (0.97 - level), 0.02 + 0.07 * depth
        x = rng.random()
        pen.line([x * side, y * side, (x + length) * side, y * side], fill=colour, width=max(1, int(side * 0.005)))


def _grass(side: int, rng: np.random.Generator) -> Image.Image:
    picture = _sky_gradient(side, rng)
    level = rng.uniform(0.36, 0.6)
    _clouds(picture, rng, 0.08, level - 0.1, 3)
    _fill_below(
        picture, _ridge(side, level - 0.05, 0.05, rng), _jitter((150, 206, 112), rng), _jitter((96, 170, 72), rng)
    )
    _fill_below(picture, _ridge(side, level, 0.03, rng), _jitter((112, 190, 76), rng), _jitter((60, 142, 50), rng))
    _tufts(picture, rng, level)
    return picture


def _tufts(picture: Image.Image, rng: np.random.Generator, level: float) -> None:
    side, pen = picture.width, ImageDraw.Draw(picture)
    width = max(1, int(side * 0.004))
    for _ in range(rng.integers(30, 60)):
        x, y = rng.random() * side, rng.uniform(level + 0.08, 1) * side
        for lean in (-0.5, 0, 0.5):
            height = side * 0.022
            pen.line([x, y, x + lean * height, y - height], fill=_jitter((52, 128, 44), rng, 10), width=width)
    for _ in range(rng.integers(0, 14)):
        x, y, radius = rng.random() * side, rng.uniform(level + 0.08, 1) * side, side * 0.007
        petals = [(255, 255, 255), (255, 226, 110), (250, 170, 200)][rng.integers(3)]
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=petals)


def _sea(side: int, rng: np.random.Generator) -> Image.Image:
    picture = _sky_gradient(side, rng)
    level = rng.uniform(0.3, 0.55)
    _clouds(picture, rng, 0.08, level - 0.06, 3)
    base = [(34, 124, 190), (22, 140, 178), (30, 96, 172)][rng.integers(3)]
    for step in range(7):
        height = level + (0.97 - level) * step / 7
        shade = tuple(int(part * (1.2 - 0.09 * step)) for part in base)
        _fill_below(picture, _wave_line(side, height, 0.004 + 0.0035 * step, rng), _clip(shade), _clip(shade))
    _glints(picture, rng, level, (206, 236, 250))
    return picture


def _clip(colour: Colour) -> Colour:
    return tuple(min(255, max(0, part)) for part in colour)


def _wave_line(side: int, level: float, swing: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    x, phase, count = np.linspace(0, 1, 96), rng.random(), rng.integers(4, 8)
    y = level + swing * np.abs(np.sin(np.pi * (count * x + phase)))
    return [(float(px) * side, float(py) * side) for px, py in zip(x, y, strict=True)]


def _sand(side: int, rng: np.random.Generator) -> Image.Image:
    picture = _sky_gradient(side, rng)
    level = rng.uniform(0.4, 0.58)
    _clouds(picture, rng, 0.08, level - 0.14, 2)
    if rng.random() < 0.65:
        sea = level - rng.uniform(0.08, 0.14)
        _fill_below(picture, [(0, sea * side), (side, sea * side)], (42, 146, 196), (120, 206, 214))
        _fill_below(picture, _ridge(side, level - 0.012, 0.012, rng, 2), (244, 250, 250), (244, 250, 250))
        _fill_below(
            picture, _ridge(side, level + 0.004, 0.012, rng, 2), _jitter((242, 216, 158), rng, 8), (226, 190, 126)
        )
    else:
        _fill_below(picture, _ridge(side, level - 0.04, 0.05, rng), _jitter((244, 214, 150), rng, 8), (228, 188, 118))
        _fill_below(picture, _ridge(side, level + 0.08, 0.04, rng), _jitter((238, 202, 134), rng, 8), (216, 172, 104))
    _dots(picture, rng, level + 0.06, (204, 164, 104))
    return picture


def _dots(picture: Image.Image, rng: np.random.Generator, level: float, colour: Colour) -> None:
    side, pen = picture.width, ImageDraw.Draw(picture)
    for _ in range(rng.integers(40, 90)):
        x, y, radius = rng.random() * side, rng.uniform(level, 1) * side, side * rng.uniform(0.0015, 0.004)
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=_jitter(colour, rng, 10))


def _snow(side: int, rng: np.random.Generator) -> Image.Image:
    top = [(150, 190, 226), (176, 200, 222), (120, 164, 214)][rng.integers(3)]
    picture = _gradient(side, _jitter(top, rng), _jitter((228, 238, 248), rng, 6))
    level = rng.uniform(0.42, 0.62)
    _fill_below(picture, _ridge(side, level - 0.09, 0.06, rng), (206, 222, 240), (226, 236, 248))
    _fill_below(picture, _ridge(side, level, 0.04, rng), (250, 252, 255), (222, 232, 246))
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.integers(40, 90)):
        x, y = rng.random(2) * side
        radius = side * rng.uniform(0.003, 0.009)
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=(255, 255, 255))
    return picture


def _room(side: int, rng: np.random.Generator) -> Image.Image:
    walls = [(246, 226, 196), (206, 224, 226), (236, 208, 204), (214, 222, 200), (226, 216, 236), (250, 236, 190)]
    wall = _jitter(walls[rng.integers(len(walls))], rng, 8)
    picture = _gradient(side, wall, _clip(tuple(int(part * 0.93) for part in wall)))
    level, pen = rng.uniform(0.6, 0.74), ImageDraw.Draw(picture)
    if rng.random() < 0.5:
        stripe = _clip(tuple(int(part * 0.965) for part in wall))
        for x in np.arange(0, 1, 0.1):
            pen.rectangle([x * side, 0, (x + 0.05) * side, level * side], fill=stripe)
    _floor(picture, rng, level)
    _frame(pen, side, rng)
    return picture


def _floor(picture: Image.Image, rng: np.random.Generator, level: float) -> None:
    side = picture.width
    wood = _jitter([(190, 140, 94), (164, 112, 72), (212, 172, 124)][rng.integers(3)], rng, 8)
    _fill_below(
        picture, [(0, level * side), (side, level * side)], wood, _clip(tuple(int(part * 0.86) for part in wood))
    )
    pen, seam = ImageDraw.Draw(picture), _clip(tuple(int(part * 0.8) for part in wood))
    for y in level + (1 - level) * np.array([0.16, 0.38, 0.66]):
        pen.line([0, y * side, side, y * side], fill=seam, width=max(1, int(side * 0.004)))
    pen.rectangle([0, (level - 0.03) * side, side, level * side], fill=(248, 246, 240))


def _frame(pen: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    """A window on the wall."""
    if rng.random() < 0.4:
        return
    x, y, width, height = (
        rng.uniform(0.05, 0.6),
        rng.uniform(0.06, 0.14),
        rng.uniform(0.24, 0.34),
        rng.uniform(0.26, 0.36),
    )
    box = [x * side, y * side, (x + width) * side, (y + height) * side]
    pen.rectangle(box, fill=(186, 222, 244), outline=(252, 250, 244), width=int(side * 0.016))
    bar = max(1, int(side * 0.01))
    pen.line([(x + width / 2) * side, y * side, (x + width / 2) * side, (y + height) * side], (252, 250, 244), bar)
    pen.line([x * side, (y + height / 2) * side, (x + width) * side, (y + height / 2) * side], (252, 250, 244), bar)


def _plain(colour: str, side: int, rng: np.random.Generator) -> Image.Image:
    """A plain background: one colour, a little lighter in the middle."""
    base = _jitter(_PASTEL.get(colour, COLOURS[colour]), rng, 8)
    picture = _gradient(side, base, _clip(tuple(int(part * rng.uniform(0.9, 1.0)) for part in base)))
    if rng.random() < 0.5:
        _glow(picture, 0.5, 0.45, 0.5, _clip(tuple(int(part + (255 - part) * 0.3) for part in base)), 0.8)
    return picture


_PASTEL: dict[str, Colour] = {
    "red": (222, 72, 70),
    "orange": (248, 164, 84),
    "yellow": (252, 224, 98),
    "green": (112, 192, 118),
    "blue": (88, 148, 232),
    "purple": (160, 112, 204),
    "pink": (250, 178, 206),
    "brown": (156, 112, 80),
    "white": (250, 250, 252),
    "black": (32, 32, 38),
}

_DRAW: dict[str, Callable[[int, np.random.Generator], Image.Image]] = {
    "sky": _sky,
    "night": _night,
    "sunset": _sunset,
    "sunset-land": partial(_sunset, water=False),
    "sunset-sea": partial(_sunset, water=True),
    "grass": _grass,
    "sea": _sea,
    "sand": _sand,
    "snow": _snow,
    "room": _room,
}
