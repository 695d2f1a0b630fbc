"""Paints sample pictures: objects on a background, with shadows on the ground and foam on the water.

The glyphs come from one permissively licensed set (Fluent, MIT).
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scripts.train_demo_clip.backgrounds import draw_background
from scripts.train_demo_clip.colours import tint
from scripts.train_demo_clip.layout import GROUNDED, Item, Spot, arrange
from scripts.train_demo_clip.sources import SAMPLE_STYLE, Sources
from scripts.train_demo_clip.sprites import draw_glyph
from scripts.train_demo_clip.vocabulary import Vocabulary


class SamplePainter:
    """Paints samples at twice their size and then shrinks them, so every edge is smooth."""

    def __init__(self, sources: Sources, vocabulary: Vocabulary) -> None:
        self.vocabulary, self._reader = vocabulary, sources.styles()[SAMPLE_STYLE]
        self._glyph = cache(self._draw)

    def _draw(self, label: str, side_px: int) -> Image.Image:
        glyph = self.vocabulary.glyphs[self.vocabulary.by_label[label]]
        picture = draw_glyph(glyph, self._reader, side_px)
        if picture is None:
            raise KeyError(f"{SAMPLE_STYLE} has no {label}")
        return picture

    def paint(
        self, background: str, items: Sequence[Item], rng: np.random.Generator, size: tuple[int, int]
    ) -> Image.Image:
        """An RGB picture of `size` (pixels); the objects stay inside its central square."""
        side, core = max(size) * 2, min(size) * 2
        canvas = draw_background(background, side, rng, oversample=1)  # shrunk below
        offset = (side - core) // 2
        for item, spot in zip(items, arrange(list(items), background, rng), strict=True):
            self._put(canvas, item, spot, core, offset, background, rng)
        if size[0] != size[1]:
            canvas = canvas.crop((0, offset, side, offset + core))
        return canvas.resize(size, Image.Resampling.LANCZOS)

    def _put(
        self,
        canvas: Image.Image,
        item: Item,
        spot: Spot,
        core: int,
        offset: int,
        background: str,
        rng: np.random.Generator,
    ) -> None:
        sprite = self.cut_out(item, round(spot.size * core))
        angle = rng.uniform(-7, 7) if not spot.stands else 0.0
        sprite = sprite.rotate(angle, Image.Resampling.BICUBIC, expand=True)
        box = sprite.getchannel("A").getbbox() or (0, 0, *sprite.size)
        sprite = sprite.crop(box)
        x = round(offset + spot.x * core - sprite.width / 2)
        y = round(offset + spot.y * core - (sprite.height if spot.stands else sprite.height / 2))
        if spot.stands and background in GROUNDED:
            _ground_shadow(canvas, x, y, sprite)
        elif background.startswith("plain"):
            _drop_shadow(canvas, x, y, sprite)
        canvas.paste(sprite, (x, y), sprite)
        if spot.stands and background in ("sea", "sunset-sea"):
            _water_line(canvas, x, y, sprite)

    def cut_out(self, item: Item, side_px: int) -> Image.Image:
        """The object without a background, RGBA."""
        sprite = self._glyph(item.label, side_px)
        return Image.fromarray(tint(np.asarray(sprite), item.tint)) if item.tint else sprite


def _ground_shadow(canvas: Image.Image, x: int, y: int, sprite: Image.Image) -> None:
    layer = Image.new("L", canvas.size)
    flat, foot = sprite.width * 0.07, y + sprite.height
    box = (x + sprite.width * 0.08, foot - flat * 1.2, x + sprite.width * 0.92, foot + flat * 0.8)
    ImageDraw.Draw(layer).ellipse(box, fill=105)
    canvas.paste((10, 14, 24), (0, 0), layer.filter(ImageFilter.GaussianBlur(max(2, sprite.width * 0.02))))


def _drop_shadow(canvas: Image.Image, x: int, y: int, sprite: Image.Image) -> None:
    layer = Image.new("L", canvas.size)
    drop = round(sprite.height * 0.03)
    layer.paste(sprite.getchannel("A").point(lambda alpha: alpha * 70 // 255), (x + drop // 2, y + drop))
    canvas.paste((20, 20, 30), (0, 0), layer.filter(ImageFilter.GaussianBlur(max(2, sprite.height * 0.025))))


def _water_line(canvas: Image.Image, x: int, y: int, sprite: Image.Image) -> None:
    """A little foam where the object meets the water."""
    layer, pen_box = Image.new("L", canvas.size), []
    for share, width in ((0.0, 0.92), (0.03, 0.7)):
        half, middle, level = sprite.width * width / 2, x + sprite.width / 2, y + sprite.height * (0.985 + share)
        pen_box.append((middle - half, level, middle + half, level + sprite.height * 0.022))
    pen = ImageDraw.Draw(layer)
    for box in pen_box:
        pen.rounded_rectangle(box, radius=(box[3] - box[1]) / 2, fill=190)
    canvas.paste((236, 248, 255), (0, 0), layer.filter(ImageFilter.GaussianBlur(1.5)))
