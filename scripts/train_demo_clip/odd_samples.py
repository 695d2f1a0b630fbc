"""The odd sample pictures: kinds of file that image services often handle wrongly.

An EXIF-rotated JPEG, a transparent PNG, a greyscale JPEG, an animated GIF, a WebP and a near duplicate.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from scripts.train_demo_clip.layout import Item
from scripts.train_demo_clip.sample_painter import SamplePainter

_SIDE_PX = 384
_ORIENTATION = 0x0112  # EXIF tag; 6 means: turn a quarter clockwise to show


def write_odd_samples(painter: SamplePainter, out: Path) -> list[Path]:
    """Write the six odd files below `out`."""
    return [
        _write_rotated(painter, out / "animals" / "giraffe-rotated-by-exif.jpg"),
        _write_transparent(painter, out / "food" / "strawberry-transparent.png"),
        _write_greyscale(painter, out / "buildings" / "castle-greyscale.jpg"),
        _write_animated(painter, out / "sports" / "bouncing-basketball-animated.gif"),
        _write_webp(painter, out / "vehicles" / "rocket-among-stars.webp"),
        _write_near_duplicate(out / "animals" / "cat-on-grass.jpg", out / "animals" / "cat-on-grass-copy.jpg"),
    ]


def _scene(painter: SamplePainter, background: str, item: Item, seed: int) -> Image.Image:
    return painter.paint(background, (item,), np.random.default_rng(seed), (_SIDE_PX, _SIDE_PX))


def _write_rotated(painter: SamplePainter, path: Path) -> Path:
    lying = _scene(painter, "grass", Item("giraffe", None, 1.25), 61).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    lying.save(path, quality=88, exif=exif)
    return path


def _write_transparent(painter: SamplePainter, path: Path) -> Path:
    canvas = Image.new("RGBA", (_SIDE_PX, _SIDE_PX))
    sprite = painter.cut_out(Item("strawberry", None, 1), 640).resize((320, 320), Image.Resampling.LANCZOS)
    canvas.paste(sprite, (32, 32))
    canvas.save(path, optimize=True)
    return path


def _write_greyscale(painter: SamplePainter, path: Path) -> Path:
    _scene(painter, "night", Item("castle", None, 1.3), 62).convert("L").save(path, quality=88)
    return path


def _write_animated(painter: SamplePainter, path: Path) -> Path:
    ball = painter.cut_out(Item("basketball", None, 1), 300).resize((150, 150), Image.Resampling.LANCZOS)
    floor = _scene(painter, "room", Item("basketball", None, 0.01), 63).resize((288, 288))
    frames = []
    for height in (0, 34, 58, 72, 76, 72, 58, 34):
        frame = floor.copy()
        frame.paste(ball, (69, 112 - height), ball)
        frames.append(frame.quantize(96))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=70, loop=0, optimize=True)
    return path


def _write_webp(painter: SamplePainter, path: Path) -> Path:
    _scene(painter, "night", Item("rocket", None, 1.1), 64).save(path, quality=86)
    return path


def _write_near_duplicate(original: Path, path: Path) -> Path:
    """The same picture a little smaller, brighter and more compressed."""
    with Image.open(original) as picture:
        small = picture.resize((round(picture.width * 0.85), round(picture.height * 0.85)), Image.Resampling.LANCZOS)
    ImageEnhance.Brightness(small).enhance(1.05).save(path, quality=72)
    return path
