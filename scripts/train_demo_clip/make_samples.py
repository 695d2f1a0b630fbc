"""Draw the sample pictures: `python -m scripts.train_demo_clip.make_samples --sources DIR --out samples`.

Every line of `sample_list.txt` becomes one picture, from a permissively licensed glyph set alone (Fluent, MIT).
The same list and seed give the same pictures.
"""

import argparse
import shutil
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scripts.train_demo_clip.backgrounds import draw_background
from scripts.train_demo_clip.colours import tint
from scripts.train_demo_clip.layout import GROUNDED, Item, Spot, arrange
from scripts.train_demo_clip.odd_samples import write_odd_samples
from scripts.train_demo_clip.sources import SAMPLE_STYLE, Sources
from scripts.train_demo_clip.sprites import draw_glyph
from scripts.train_demo_clip.vocabulary import Vocabulary, load_vocabulary, slugify

_LIST = Path(__file__).with_name("sample_list.txt")
_SQUARE_PX = 384
_WIDE = (480, 360)
_JPEG_QUALITY = 88
_COUNTS = {2: "two", 3: "three", 4: "four"}
_PLACES = {
    "sky": "in-the-sky", "night": "at-night", "sunset-land": "at-sunset", "sunset-sea": "at-sunset",
    "grass": "on-grass", "sea": "on-the-sea", "sand": "on-sand", "snow": "in-snow", "room": "in-a-room",
}  # fmt: skip
_FILE_WORDS = {
    "automobile": "car", "hot beverage": "coffee", "tennis": "tennis-racket", "cooking": "fried-egg", "ewe": "sheep",
    "lady beetle": "ladybird", "ear of corn": "corn", "woman’s hat": "sun-hat", "spouting whale": "whale",
    "thong sandal": "flip-flop", "bowling": "bowling-ball", "ping pong": "table-tennis", "sauropod": "dinosaur",
    "t-rex": "tyrannosaurus", "french fries": "fries", "articulated lorry": "lorry", "billed cap": "cap",
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """One line of the list."""

    folder: str
    background: str
    items: tuple[Item, ...]

    @property
    def stem(self) -> str:
        """`two-red-apples-on-grass`, made from what is in the picture."""
        return f"{'-and-'.join(_grouped(self.items))}-{_place_words(self.background)}"


def read_list(text: str) -> list[Sample]:
    """Parse `folder | background | label*count@tint^size + ...` lines; `#` starts a comment."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [_read_line(line) for line in lines]


def _read_line(line: str) -> Sample:
    folder, background, objects = (part.strip() for part in line.split("|"))
    items: list[Item] = []
    for part in objects.split(" + "):
        rest, _, scale = part.partition("^")
        rest, _, colour = _swap_tint(rest).partition("@")
        label, _, count = rest.partition("*")
        items += [Item(label, colour or None, float(scale or 1))] * int(count or 1)
    return Sample(folder, background, tuple(items))


def _swap_tint(text: str) -> str:
    """`car@red*3` and `car*3@red` mean the same."""
    label, _, rest = text.partition("@")
    colour, star, count = rest.partition("*")
    return f"{label}{star}{count}@{colour}" if rest else label


def _grouped(items: tuple[Item, ...]) -> list[str]:
    words = []
    for item in dict.fromkeys(items):
        count = items.count(item)
        name = _FILE_WORDS.get(item.label.lower(), _FILE_WORDS.get(item.label, slugify(item.label)))
        colour = f"{item.tint}-" if item.tint else ""
        words.append(f"{_COUNTS[count]}-{colour}{_plural(name)}" if count > 1 else f"{colour}{name}")
    return words


def _plural(name: str) -> str:
    if name in ("sheep", "tropical-fish"):
        return name
    if name.endswith("leaf"):
        return f"{name[:-1]}ves"
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "sh", "ch", "x", "to")) else f"{name}s"


def _place_words(background: str) -> str:
    return _PLACES.get(background) or f"on-{background.removeprefix('plain-')}"


class SamplePainter:
    """Paints samples at twice their size and shrinks them, so that every edge is smooth."""

    def __init__(self, sources: Sources, vocabulary: Vocabulary) -> None:
        self.vocabulary, self._reader = vocabulary, sources.svg_styles()[SAMPLE_STYLE]
        self._glyph = cache(self._draw)

    def _draw(self, label: str, side_px: int) -> Image.Image:
        glyph = self.vocabulary.glyphs[self.vocabulary.by_label[label]]
        picture = draw_glyph(glyph, self._reader, side_px)
        if picture is None:
            raise KeyError(f"{SAMPLE_STYLE} has no {label}")
        return picture

    def paint(self, sample: Sample, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        """An RGB picture of `size`; the objects stay inside its central square."""
        side, core = max(size) * 2, min(size) * 2
        canvas = draw_background(sample.background, side, rng, oversample=1)  # shrunk below
        offset = (side - core) // 2
        for item, spot in zip(sample.items, arrange(list(sample.items), sample.background, rng), strict=True):
            self._put(canvas, item, spot, core, offset, sample.background, rng)
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
        """The object alone, RGBA."""
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


def write_samples(painter: SamplePainter, samples: list[Sample], out: Path) -> list[Path]:
    """Write all pictures below `out`; one in five is wide."""
    written = []
    for sample in samples:
        rng = np.random.default_rng(zlib.crc32(f"{sample.folder}/{sample.stem}".encode()))
        size = _WIDE if rng.random() < 0.2 else (_SQUARE_PX, _SQUARE_PX)
        path = out / sample.folder / f"{sample.stem}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        painter.paint(sample, rng, size).save(path, quality=_JPEG_QUALITY, optimize=True)
        written.append(path)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sources", type=Path, default=Path("demo-clip-sources"), help="folder of `npm install`")
    parser.add_argument("--out", type=Path, default=Path("samples"))
    arguments = parser.parse_args()
    sources = Sources(arguments.sources)
    painter = SamplePainter(sources, load_vocabulary(sources.emojibase))
    written = write_samples(painter, read_list(_LIST.read_text("utf-8")), arguments.out)
    written += write_odd_samples(painter, arguments.out)
    shutil.copyfile(sources.modules / "fluentui-emoji" / "LICENSE", arguments.out / "LICENSE-fluentui-emoji.txt")
    print(f"{len(written)} pictures, {sum(path.stat().st_size for path in written) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
