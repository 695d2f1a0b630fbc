"""Each glyph of each style as a small RGBA square, rasterised once into a cache folder.

`SpriteSheet.pixels` is (S, G, 96, 96, 4) uint8, straight alpha, trimmed to the drawing and centred;
`present` (S, G) bool says which cells are filled.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scripts.train_demo_clip.sources import NOTO, GlyphReader, Sources, find_noto_font
from scripts.train_demo_clip.vocabulary import Glyph, Vocabulary

SPRITE_PX = 96
_NOTO_PT = 109  # the font's only bitmap size


@dataclass(frozen=True)
class SpriteSheet:
    """Sprites of all styles; `styles[s]` names the first axis."""

    styles: tuple[str, ...]
    pixels: np.ndarray
    present: np.ndarray


def load_sprites(sources: Sources, vocabulary: Vocabulary, cache: Path) -> SpriteSheet:
    """Return the sheet. The first call rasterises it into `cache`, which takes a few minutes."""
    index, data = cache / "sprites.json", cache / "sprites.npy"
    expected = {"styles": [NOTO, *sources.styles()], "glyphs": [glyph.hexcode for glyph in vocabulary.glyphs]}
    if not (index.is_file() and json.loads(index.read_text()) == expected):
        _rasterise_all(sources, vocabulary, index, data)
    pixels = np.load(data, mmap_mode="r")
    return SpriteSheet(tuple(expected["styles"]), pixels, pixels[:, :, :, :, 3].any(axis=(2, 3)))


def _rasterise_all(sources: Sources, vocabulary: Vocabulary, index: Path, data: Path) -> None:
    index.parent.mkdir(parents=True, exist_ok=True)
    readers = sources.styles()
    styles = [NOTO, *readers]
    shape = (len(styles), len(vocabulary.glyphs), SPRITE_PX, SPRITE_PX, 4)
    pixels = np.lib.format.open_memmap(data, mode="w+", dtype=np.uint8, shape=shape)
    for row, style in enumerate(styles):
        for column, glyph in enumerate(vocabulary.glyphs):
            sprite = draw_glyph(glyph, readers.get(style), SPRITE_PX)
            if sprite is not None:
                pixels[row, column] = np.asarray(sprite)
    pixels.flush()
    index.write_text(json.dumps({"styles": styles, "glyphs": [glyph.hexcode for glyph in vocabulary.glyphs]}))


def draw_glyph(glyph: Glyph, reader: GlyphReader | None, side_px: int) -> Image.Image | None:
    """One glyph as a square RGBA picture, or None if the style does not have it. Without a reader: Noto's font."""
    if reader is None:
        return _fit(_draw_noto(glyph), side_px)
    match reader(glyph):
        case None:
            return None
        case str(svg):
            return _fit(_draw_svg(svg, side_px * 2), side_px)
        case bytes(file):
            return _fit(Image.open(io.BytesIO(file)).convert("RGBA"), side_px)


def _draw_svg(svg: str, side_px: int) -> Image.Image:
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side_px, height=side_px))
    return Image.open(io.BytesIO(png)).convert("RGBA")


def _draw_noto(glyph: Glyph) -> Image.Image:
    font = ImageFont.truetype(str(find_noto_font()), _NOTO_PT)
    picture = Image.new("RGBA", (160, 160))
    text = "".join(chr(int(code, 16)) for code in glyph.hexcode.split("-"))
    ImageDraw.Draw(picture).text((10, 10), text, font=font, embedded_color=True)
    return picture


def _fit(picture: Image.Image, side_px: int) -> Image.Image | None:
    box = picture.getchannel("A").point(lambda alpha: 255 * (alpha > 16)).getbbox()
    if box is None:
        return None
    picture = picture.crop(box)
    scale = side_px / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    square = Image.new("RGBA", (side_px, side_px))
    square.paste(picture.resize(size, Image.Resampling.LANCZOS), ((side_px - size[0]) // 2, (side_px - size[1]) // 2))
    return square
