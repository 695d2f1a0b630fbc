"""Draw the sample pictures: `python -m scripts.train_demo_clip.make_samples --sources DIR --out samples`.

Every line of `sample_list.txt` becomes one picture. Its glyphs come from one permissively licensed set (Fluent, MIT).
The same list and seed give the same pictures.
"""

import argparse
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.train_demo_clip.layout import Item
from scripts.train_demo_clip.odd_samples import write_odd_samples
from scripts.train_demo_clip.sample_painter import SamplePainter
from scripts.train_demo_clip.sources import Sources
from scripts.train_demo_clip.vocabulary import load_vocabulary, slugify

SAMPLE_LIST = Path(__file__).with_name("sample_list.txt")
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
        """The file's name without its suffix, made from the objects: `two-red-apples-on-grass`."""
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
    """`car@red*3` means the same as `car*3@red`."""
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


def write_samples(painter: SamplePainter, samples: list[Sample], out: Path) -> list[Path]:
    """Write all pictures below `out`; one in five is wide."""
    written = []
    for sample in samples:
        rng = np.random.default_rng(zlib.crc32(f"{sample.folder}/{sample.stem}".encode()))
        size = _WIDE if rng.random() < 0.2 else (_SQUARE_PX, _SQUARE_PX)
        path = out / sample.folder / f"{sample.stem}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        painter.paint(sample.background, sample.items, rng, size).save(path, quality=_JPEG_QUALITY, optimize=True)
        written.append(path)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sources", type=Path, default=Path("demo-clip-sources"), help="folder of `npm install`")
    parser.add_argument("--out", type=Path, default=Path("samples"))
    arguments = parser.parse_args()
    sources = Sources(arguments.sources)
    painter = SamplePainter(sources, load_vocabulary(sources.emojibase))
    written = write_samples(painter, read_list(SAMPLE_LIST.read_text("utf-8")), arguments.out)
    written += write_odd_samples(painter, arguments.out)
    shutil.copyfile(sources.modules / "fluentui-emoji" / "LICENSE", arguments.out / "LICENSE-fluentui-emoji.txt")
    print(f"{len(written)} pictures, {sum(path.stat().st_size for path in written) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
