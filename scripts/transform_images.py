"""Make a smaller copy of a folder of pictures: the same folders and names, no side longer than 336 pixels.

    python scripts/transform_images.py images images-336

Pictures become upright, in sRGB and without metadata, and none is enlarged. A second run does only what is new or
changed. JPEG, PNG and WebP keep their formats; `a.heic` becomes `a.heic.jpg`.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import track

from app.errors import AppError, InvalidInput
from app.library.filling import pictures_in
from app.pictures.processes import DecoderProcesses
from app.pictures.resized import CopyFormat, resized_file
from app.printable import printable
from app.settings import ImageSettings

OPTIONS_FILE: Final = ".transform_images.json"
"""In the target folder: with what options its pictures were made."""

KINDS: Final[dict[str, CopyFormat]] = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".jif"), "JPEG"),
    ".png": "PNG",
    ".webp": "WEBP",
}


TIME_STEP_NS: Final = 2_000_000_000
"""FAT keeps times in steps of two seconds."""


@dataclass(frozen=True)
class Options:
    """How the copies are made."""

    size: int
    quality: int


@dataclass(frozen=True)
class Copy:
    """One picture and its copy."""

    source: Path
    target: Path

    @property
    def kind(self) -> CopyFormat:
        return KINDS[self.target.suffix.lower()]

    @property
    def is_done(self) -> bool:
        """A copy has the time of modification of its source, as exactly as its file system keeps it."""
        if not self.target.is_file():
            return False
        return abs(self.target.stat().st_mtime_ns - self.source.stat().st_mtime_ns) < TIME_STEP_NS


@dataclass
class Summary:
    made: int = 0
    present: int = 0
    failed: list[str] = field(default_factory=list)
    """One sentence for each picture."""


class Transformer:
    """Makes copies, one for each thread that calls it."""

    def __init__(self, source: Path, options: Options, workers: int) -> None:
        self._source = source.resolve()
        self._images = ImageSettings()
        self._work = partial(resized_file, max_side=options.size, quality=options.quality)
        self._decoders = DecoderProcesses(workers, workers * self._images.max_memory_bytes)

    def close(self) -> None:
        self._decoders.close()

    def make(self, copy: Copy) -> None:
        """Raises AppError, and OSError where a file can't be read or written."""
        if copy.source.stat().st_size > self._images.max_bytes:
            raise InvalidInput(f"It is larger than {self._images.max_bytes:,} bytes. Raise IMAGE_MAX_BYTES.")
        times = copy.source.stat()
        data = self._decoders.run(partial(self._work, kind=copy.kind), copy.source.read_bytes(), self._images)
        if copy.target.parent.resolve().is_relative_to(self._source):
            raise InvalidInput("Its copy would lie in the source folder, by way of a link.")
        copy.target.parent.mkdir(parents=True, exist_ok=True)
        partial_file = copy.target.with_name(f".{copy.target.name}.part")
        try:
            partial_file.write_bytes(data)
            os.utime(partial_file, ns=(times.st_atime_ns, times.st_mtime_ns))
            partial_file.replace(copy.target)
        finally:
            partial_file.unlink(missing_ok=True)


def check_places(source: Path, target: Path) -> None:
    """Raises InvalidInput when the copies would lie among the pictures, or the pictures among the copies."""
    if not source.is_dir():
        raise InvalidInput(f"{source} is no folder. Name the folder with the pictures.")
    inner, outer = target.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise InvalidInput(f"{target} and {source} lie in each other. Name a target folder outside of the pictures.")


def check_options(target: Path, options: Options) -> None:
    """Note the options in the target folder. Raises InvalidInput where it was made with others, or not by this script.

    So no file is overwritten that is not a copy.
    """
    file = target / OPTIONS_FILE
    wanted = {"size": options.size, "quality": options.quality}
    if file.exists():
        found = json.loads(file.read_bytes())
        if found != wanted:
            said = " ".join(f"--{name} {value}" for name, value in found.items())
            raise InvalidInput(f"{target} was made with {said}. Name another folder, or delete this one first.")
    elif target.exists() and any(target.iterdir()):
        raise InvalidInput(f"{target} holds files that this script has not made. Name a new or an empty folder.")
    target.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(wanted) + "\n")


def plan(source: Path, target: Path) -> Iterator[Copy]:
    """Where each picture's copy goes. Raises InvalidInput when there are no pictures."""
    for key, path in pictures_in(source).items():
        name = key if path.suffix.lower() in KINDS else f"{key}.jpg"
        yield Copy(path, target / name)


def transform(copies: list[Copy], transformer: Transformer, workers: int, console: Console) -> Summary:
    """Make the copies that are missing, several at a time."""
    first = {copy.target: copy for copy in reversed(copies)}
    summary = Summary(present=sum(copy.is_done for copy in first.values()))
    summary.failed += [
        f"{copy.source}: the copy of {first[copy.target].source.name} has the same name. Rename one of them."
        for copy in copies
        if first[copy.target] is not copy
    ]
    with ThreadPoolExecutor(workers) as threads:
        futures = {threads.submit(transformer.make, copy): copy for copy in first.values() if not copy.is_done}
        try:
            done = as_completed(futures)
            for future in track(
                done, "transforming", len(futures), console=console, disable=not console.is_terminal or not futures
            ):
                error = future.exception()
                if error is None:
                    summary.made += 1
                elif isinstance(error, AppError | OSError):
                    summary.failed.append(f"{futures[future].source}: {error}")
                else:
                    raise error
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return summary


def main(
    source: Annotated[Path, typer.Argument(help="folder with the pictures")],
    target: Annotated[
        Path | None, typer.Argument(help="folder for the copies  [default: SOURCE-SIZE]", show_default=False)
    ] = None,
    size: Annotated[int, typer.Option(min=1, max=20_000, help="longest side of a copy, pixels")] = 336,
    quality: Annotated[int, typer.Option(min=1, max=100, help="of JPEG and WebP")] = 90,
    workers: Annotated[int, typer.Option(min=1, max=64, help="pictures at the same time")] = os.cpu_count() or 1,
) -> None:
    """Make a smaller copy of every picture below SOURCE. Run it again to go on, or after pictures were added."""
    console, errors = Console(), Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    target = target or source.resolve().with_name(f"{source.resolve().name}-{size}")
    options = Options(size, quality)
    try:
        check_places(source, target)
        copies = list(plan(source, target))
        check_options(target, options)
        transformer = Transformer(source, options, workers)
        try:
            summary = transform(copies, transformer, workers, console)
        finally:
            transformer.close()
    except (AppError, OSError) as error:
        errors.print(printable(str(error)), style="red")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        errors.print("Stopped. Run this again to go on.")
        raise typer.Exit(130) from None
    for reason in summary.failed:
        errors.print(printable(f"Left out: {reason}"))
    console.print(
        printable(f"{summary.made} made, {summary.present} already there, {len(summary.failed)} left out; in {target}"),
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    raise typer.Exit(1 if summary.failed else 0)


if __name__ == "__main__":
    typer.run(main)
