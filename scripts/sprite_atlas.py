"""Put all pictures of a folder, in small, on few large ones: a sprite atlas.

    python scripts/sprite_atlas.py images --cell 64

writes `atlas.png` (and `atlas-1.png`, ... where one page of 2048 x 2048 pixels is too small) and `atlas.json` beside
the folder: for each picture its id, page, x, y, w and h. A second run draws what is new or changed; a picture keeps
its place for as long as it exists. The ids are those of an index whose STORAGE_URL is the folder.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.errors import AppError, InvalidInput
from app.library.atlas.layout import PAGE_SIDE, AtlasLayout
from app.library.filling import pictures_in
from app.pictures.decoding import Size
from app.pictures.processes import DecoderProcesses
from app.pictures.sprites import PageFormat, Sprite, draw, encoded_page, make_sprite
from app.printable import printable
from app.settings import ImageSettings
from app.types import Ids, hash_file, image_id_of, row_id

FORMATS: Final[Mapping[str, PageFormat]] = {".png": "png", ".webp": "webp"}
"""A page in PNG is exact, so it is drawn upon again. One in WebP is drawn anew when something on it changes."""


@dataclass(frozen=True)
class Picture:
    """A file of the folder."""

    key: str
    path: Path
    content: int
    """Tells whether the file has changed."""

    @property
    def id(self) -> str:
        return image_id_of(self.key)


@dataclass
class Earlier:
    """What the last run has left."""

    layout: AtlasLayout
    sizes: dict[str, Size] = field(default_factory=dict)
    """By picture id."""
    files: list[str] = field(default_factory=list)
    """Names of the pages' files."""


class AtlasFiles:
    """The files of one atlas: `atlas.png`, `atlas-1.png`, ... and `atlas.json`."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.kind = FORMATS[out.suffix.lower()]
        self.places = out.with_suffix(".json")

    def page(self, number: int) -> Path:
        return self._out.with_stem(f"{self._out.stem}-{number}") if number else self._out

    def read(self, cell: int) -> Earlier:
        """What is there; nothing where that is no atlas of these cells."""
        try:
            found = json.loads(self.places.read_bytes())
            if found["cell"] == cell:
                return _earlier(found, cell)
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            pass  # it is made anew
        return Earlier(AtlasLayout.empty(cell))

    def has_page(self, number: int, earlier: AtlasLayout) -> bool:
        """Whether the page is there as the last run has drawn it."""
        try:
            with Image.open(self.page(number)) as page:
                return number < earlier.pages and page.size == earlier.size_of(number)
        except OSError:
            return False

    def begun_page(self, number: int, size: Size, *, upon_old: bool) -> Image.Image:
        """A page to draw on: black, or with what the last run has drawn."""
        page = Image.new("RGB", size)
        if upon_old:
            with Image.open(self.page(number)) as old:
                page.paste(old)
        return page

    def write_page(self, number: int, page: Image.Image) -> None:
        _write(self.page(number), encoded_page(page, self.kind))

    def write_places(self, layout: AtlasLayout, pictures: Mapping[int, Picture], sizes: Mapping[str, Size]) -> None:
        slots, numbers = layout.used, range(layout.pages)
        corners = zip(*(each.tolist() for each in layout.corners(slots)), strict=True)
        images = [
            _place(pictures[row], corner, sizes)
            for row, corner in zip(layout.rows[slots].tolist(), corners, strict=True)
        ]
        pages = [
            {"file": self.page(number).name, "width": width, "height": height}
            for number, (width, height) in zip(numbers, map(layout.size_of, numbers), strict=True)
        ]
        lines = ",\n".join(json.dumps(image, ensure_ascii=False) for image in images)
        head = json.dumps({"cell": layout.cell, "pages": pages, "images": []})
        _write(self.places, f"{head.removesuffix(']}')}\n{lines}\n]}}\n".encode())

    def delete(self, names: Iterable[str]) -> None:
        """Pages of an earlier run that are no longer needed."""
        for name in names:
            self._out.with_name(Path(name).name).unlink(missing_ok=True)


def _earlier(found: dict[str, Any], cell: int) -> Earlier:
    images, grid = found["images"], AtlasLayout.empty(cell)
    slots = [each["page"] * grid.per_page + each["y"] // cell * grid.per_row + each["x"] // cell for each in images]
    rows, contents = np.zeros(max(slots, default=-1) + 1, np.int64), np.zeros(max(slots, default=-1) + 1, np.uint64)
    rows[slots] = [row_id(each["id"]) for each in images]
    contents[slots] = [int(each["content"], 16) for each in images]
    sizes = {each["id"]: (each["w"], each["h"]) for each in images}
    return Earlier(AtlasLayout(cell, rows, contents), sizes, [page["file"] for page in found["pages"]])


def _place(picture: Picture, corner: tuple[int, int, int], sizes: Mapping[str, Size]) -> dict[str, Any]:
    page, x, y = corner
    width, height = sizes[picture.id]
    place = {"id": picture.id, "page": page, "x": x, "y": y, "w": width, "h": height}
    return {**place, "path": picture.key, "content": f"{picture.content:016x}"}


def _write(path: Path, data: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(data)
    unfinished.replace(path)


class Sprites:
    """Decodes pictures, several at a time. A context manager."""

    def __init__(self, cell: int, workers: int) -> None:
        self._images = ImageSettings()
        self._work = partial(make_sprite, cell=cell)
        self._decoders = DecoderProcesses(workers, workers * self._images.max_memory_bytes)
        self._threads = ThreadPoolExecutor(workers)

    def __enter__(self) -> "Sprites":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._decoders.close()

    def of(self, pictures: Iterable[Picture]) -> Iterator[Sprite | Exception]:
        """The sprite of each, or why there is none."""
        return self._threads.map(self._one, pictures)

    def _one(self, picture: Picture) -> Sprite | Exception:
        try:
            if picture.path.stat().st_size > self._images.max_bytes:
                raise InvalidInput(f"It is larger than {self._images.max_bytes:,} bytes. Raise IMAGE_MAX_BYTES.")
            return self._decoders.run(self._work, picture.path.read_bytes(), self._images)
        except (AppError, OSError) as error:
            return error


def read_folder(folder: Path) -> dict[int, Picture]:
    """Every picture by its row id, sorted by path. Raises InvalidInput when there are none, OSError."""
    pictures = {}
    for key, path in pictures_in(folder).items():
        with path.open("rb") as file:
            pictures[row_id(image_id_of(key))] = Picture(key, path, int(hash_file(file)[:15], 16) + 1)
    return pictures


class Drawing:
    """Brings an atlas up to date with its folder."""

    def __init__(self, files: AtlasFiles, pictures: Mapping[int, Picture], cell: int) -> None:
        self._files, self._pictures = files, pictures
        self._earlier = files.read(cell)
        contents = np.array([picture.content for picture in pictures.values()], np.uint64)
        self._layout = self._earlier.layout.synced(np.array(list(pictures), np.int64), contents)
        self._sizes = dict(self._earlier.sizes)
        self.drawn = 0
        self.pages = 0
        self.failed: dict[int, str] = {}
        """By slot, why its picture is left out."""

    def run(self, sprites: Sprites, progress: Progress) -> None:
        """Draw what has changed, then write the places. Raises OSError."""
        slots = {page: self._to_draw(page) for page in range(self._layout.pages)}
        task = progress.add_task("drawing", total=sum(map(len, slots.values())))
        for page, changed in slots.items():
            if len(changed):
                self._draw(page, changed, sprites, lambda: progress.advance(task))
        shown = self._layout.without(list(self.failed))
        self._files.write_places(shown, self._pictures, self._sizes)
        self._files.delete(set(self._earlier.files) - {self._files.page(page).name for page in range(shown.pages)})

    def _to_draw(self, page: int) -> Ids:
        """The slots of a page that must be drawn: those that changed, or all of them."""
        is_there = self._files.has_page(page, self._earlier.layout)
        changed = self._layout.changed_on(page, self._earlier.layout)
        if is_there and (self._files.kind == "png" or not len(changed)):
            return changed
        return self._layout.used_on(page)

    def _draw(self, page: int, slots: Ids, sprites: Sprites, advance: Callable[[], None]) -> None:
        upon_old = self._files.kind == "png" and self._files.has_page(page, self._earlier.layout)
        image = self._files.begun_page(page, self._layout.size_of(page), upon_old=upon_old)
        before = image.tobytes()
        pictures = [self._picture_in(slot) for slot in slots.tolist()]
        drawn = sprites.of(picture for picture in pictures if picture)
        _, xs, ys = self._layout.corners(slots)
        for slot, picture, x, y in zip(slots.tolist(), pictures, xs.tolist(), ys.tolist(), strict=True):
            sprite = self._taken(slot, picture, next(drawn)) if picture else None
            draw(image, (x, y), self._layout.cell, sprite)
            advance()
        if not upon_old or image.tobytes() != before:
            self._files.write_page(page, image)
            self.pages += 1

    def _picture_in(self, slot: int) -> Picture | None:
        """None for a slot that became free."""
        is_used = slot < len(self._layout.rows) and self._layout.contents[slot]
        return self._pictures[int(self._layout.rows[slot])] if is_used else None

    def _taken(self, slot: int, picture: Picture, sprite: Sprite | Exception) -> Sprite | None:
        if isinstance(sprite, Exception):
            self.failed[slot] = f"{picture.path}: {sprite}"
            return None
        self._sizes[picture.id] = sprite[0]
        self.drawn += 1
        return sprite


def check_out(folder: Path, out: Path) -> Path:
    """Where the first page goes. Raises InvalidInput."""
    if out.suffix.lower() not in FORMATS:
        raise InvalidInput(f"{out} is neither .png nor .webp. Give --out such a name.")
    if out.resolve().is_relative_to(folder.resolve()):
        raise InvalidInput(f"{out} lies among the pictures. Give --out a place outside of {folder}.")
    return out


def main(
    folder: Annotated[Path, typer.Argument(help="folder with the pictures", exists=True, file_okay=False)],
    cell: Annotated[int, typer.Option(min=8, max=PAGE_SIDE, help="side of a cell, pixels")] = 64,
    out: Annotated[
        Path | None,
        typer.Option(
            help="file of the first page, .png or .webp  [default: atlas.png beside FOLDER]", show_default=False
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="pictures at the same time")] = os.cpu_count() or 1,
) -> None:
    """Make a sprite atlas of all pictures below FOLDER. Run it again after pictures were added or deleted."""
    console = Console()
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        files = AtlasFiles(check_out(folder, out or folder.resolve().with_name("atlas.png")))
        drawing = Drawing(files, read_folder(folder), cell)
        with (
            Sprites(cell, workers) as sprites,
            Progress(*columns, console=console, disable=not console.is_terminal) as bar,
        ):
            drawing.run(sprites, bar)
    except (AppError, OSError) as error:
        errors.print(printable(str(error)), style="red")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        errors.print("Stopped. Run this again.")
        raise typer.Exit(130) from None
    for reason in drawing.failed.values():
        errors.print(printable(f"Left out: {reason}"))
    said = f"{drawing.drawn} drawn, {drawing.pages} pages written, {len(drawing.failed)} left out; in {files.places}"
    console.print(printable(said), soft_wrap=True, highlight=False, markup=False)
    raise typer.Exit(1 if drawing.failed else 0)


if __name__ == "__main__":
    typer.run(main)
