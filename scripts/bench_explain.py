"""How often the hottest cell of a heat map lies on the object that was asked for (pointing game, arXiv:1608.00507).

    python -m scripts.bench_explain --pictures 20

A sample picture is pasted, in a random size and place, into another sample; the query is what the pasted one shows.
Cells lie where they lie: nothing is aligned with the grid. Windows of several sizes are compared with hiding windows
(occlusion, arXiv:1311.2901) and with chance, the mean share of the picture that the pasted one covers.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from PIL import Image

from app.bootstrap import load_embedder
from app.models.base import Embedder
from app.search.explain.heat_map import Heat, Masks
from app.search.explain.service import ANY_PICTURE
from app.settings import ModelSettings
from app.types import Vectors
from scripts.bench.machine import machine

SIDE_PX: Final = 384
CELLS: Final = 8
SIZES: Final = (0.25, 0.5)
"""Of the pasted picture's side, as parts of the whole side."""


@dataclass(frozen=True)
class Case:
    """A picture, what is looked for in it, and the (left, top, right, bottom) where that is, in pixels."""

    image: Image.Image
    query: str
    box: tuple[int, int, int, int]

    def holds(self, heat: Heat) -> bool:
        """Whether the middle of the hottest cell lies in the box."""
        row, column = np.unravel_index(int(heat.argmax()), heat.shape)
        x, y = (int(place) * SIDE_PX / CELLS + SIDE_PX / CELLS / 2 for place in (column, row))
        left, top, right, bottom = self.box
        return left <= x < right and top <= y < bottom

    @property
    def share(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top) / SIDE_PX**2


@dataclass
class Way:
    """A way to make a map of a picture for (text, text less any picture), and what came of it."""

    name: str
    make: Callable[[Image.Image, Vectors, Vectors], Heat]
    hits: list[bool] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)


def cases(folder: Path, count: int, rng: np.random.Generator) -> list[Case]:
    """Target and background come from different folders of samples."""
    files = sorted(folder.rglob("*.jpg"))
    made: list[Case] = []
    while len(made) < count:
        target, behind = (files[number] for number in rng.choice(len(files), 2, replace=False))
        if target.parent == behind.parent:
            continue
        image, side = square(behind, SIDE_PX), int(SIDE_PX * rng.uniform(*SIZES))
        left, top = (int(place) for place in rng.integers(0, SIDE_PX - side, 2))
        image.paste(square(target, side), (left, top))
        made.append(Case(image, f"a picture of {target.stem.replace('-', ' ')}", (left, top, left + side, top + side)))
    return made


def square(path: Path, side: int) -> Image.Image:
    with Image.open(path) as file:
        image = file.convert("RGB")
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.BICUBIC)


def masks_of(window: int) -> Masks:
    starts, cells = np.arange(CELLS - window + 1)[:, None], np.arange(CELLS)
    runs = (starts <= cells) & (cells < starts + window)
    masks: Masks = (runs[:, None, :, None] & runs[None, :, None, :]).reshape(-1, CELLS, CELLS)
    return masks


def windows_alone(embedder: Embedder, window: int) -> Way:
    masks, step = masks_of(window), SIDE_PX // CELLS

    def make(image: Image.Image, text: Vectors, direction: Vectors) -> Heat:
        places = [np.argwhere(mask).min(axis=0) * step for mask in masks]
        parts = [image.crop((x, y, x + window * step, y + window * step)) for y, x in places]
        return spread(embedder.encode_images(parts) @ direction, masks)

    return Way(f"{window} x {window} cells alone", make)


def windows_hidden(embedder: Embedder, window: int) -> Way:
    masks, step = masks_of(window), SIDE_PX // CELLS

    def make(image: Image.Image, text: Vectors, direction: Vectors) -> Heat:
        pixels = np.asarray(image)
        mean = pixels.mean(axis=(0, 1)).astype(np.uint8)
        large = (np.kron(mask, np.ones((step, step), bool))[..., None] for mask in masks)
        hidden = [Image.fromarray(np.where(mask, mean, pixels)) for mask in large]
        whole, *others = embedder.encode_images([image, *hidden]) @ text
        return spread(whole - np.array(others), masks)

    return Way(f"{window} x {window} cells hidden", make)


def spread(values: Vectors, masks: Masks) -> Heat:
    """The mean of the windows around each cell."""
    heat: Heat = (np.einsum("n,nrc->rc", values, masks) / masks.sum(axis=0)).astype(np.float32)
    return heat


def main(
    folder: Annotated[Path, typer.Argument(help="folders of pictures named by what they show")] = Path("samples"),
    model: Annotated[str, typer.Option(help="as MODEL")] = "demo",
    pictures: Annotated[int, typer.Option(min=1)] = 100,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Print a table in Markdown."""
    embedder = load_embedder(ModelSettings(name=model))
    made = cases(folder, pictures, np.random.default_rng(seed))
    ways = [
        *(windows_alone(embedder, size) for size in (2, 3, 4)),
        *(windows_hidden(embedder, size) for size in (2, 3)),
    ]
    for case in made:
        text, neutral = embedder.encode_texts([case.query, ANY_PICTURE])
        for way in ways:
            began = time.perf_counter()
            way.hits.append(case.holds(way.make(case.image, text, text - neutral)))
            way.ms.append(1000 * (time.perf_counter() - began))
    print(f"{machine()}. {pictures} pictures, model {embedder.identity.name}, seed {seed}.\n")
    print("| map by | hottest cell on the object | ms a picture, median |\n|---|---|---|")
    for way in ways:
        print(f"| {way.name} | {np.mean(way.hits):.0%} | {np.median(way.ms):.0f} |")
    print(f"| chance | {np.mean([case.share for case in made]):.0%} | |")


if __name__ == "__main__":
    typer.run(main)
