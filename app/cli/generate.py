"""`image2search generate`: pictures drawn from words, without a service. Paths go to stdout, all else to stderr."""

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.errors import AppError, ImageTooLarge, InvalidInput
from app.models.checkpoint import DEMO_MODEL
from app.models.generator.base import Abilities, Generator, Parameters, Preview
from app.models.generator.limits import MAX_SEED, check_parameters, nearest_size
from app.models.generator.loading import load_generator, read_abilities
from app.models.generator.record import entries_of
from app.pictures.decoding import decode_image
from app.pictures.png_text import write_png
from app.settings import ImageSettings, load_settings

IN_SHORT = (
    "Drawn by the demo model, which knows simple scenes of drawn things. Set GENERATION_MODEL to another, such as"
    " stabilityai/sd-turbo."
)


@dataclass(frozen=True)
class Order:
    """What the command line asks for. What is None is as the model does it by default."""

    prompt: str
    output: Path
    size: str | None = None
    """`96x128`: width and height in pixels."""
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    negative_prompt: str = ""
    scheduler: str | None = None
    count: int = 1
    first: Path | None = None
    """A picture that the drawing begins from."""
    strength: float = 0.8
    overwrite: bool = False


def generate(order: Order, say: Callable[[str], None], tell: Callable[[str], None], progress_on: Console) -> None:
    """Draw and write the pictures, `say` the path of each, and `tell` the person the rest.

    Raises AppError; KeyboardInterrupt, after which there is no half file.
    """
    settings = load_settings()
    targets = _targets(order)
    first = None if order.first is None else _read(order.first, settings.image)
    wanted = settings.generation
    if not wanted.model:
        tell(IN_SHORT)
        wanted = wanted.model_copy(update={"model": DEMO_MODEL})
    if known := read_abilities(wanted):  # loading takes longer
        _parameters(order, known, first)
    with _progress(progress_on) as progress:
        loading = progress.add_task("loading the model", total=None)
        generator = load_generator(wanted)
        progress.remove_task(loading)
        parameters = _parameters(order, generator.abilities, first)
        for number, target in enumerate(targets):
            each = replace(parameters, seed=(parameters.seed + number) % (MAX_SEED + 1))
            image = _draw(generator, each, first, progress, target.name)
            entries = entries_of(each, generator.name, with_picture=first is not None)
            _write(target, write_png(image, entries), overwrite=order.overwrite)
            say(str(target))


def _targets(order: Order) -> list[Path]:
    """The files to write: `cat.png`, or `cat-1.png`, `cat-2.png`, ... Raises InvalidInput."""
    output = order.output
    if output.suffix.lower() != ".png":
        raise InvalidInput(f"{output} is no name of a PNG file, which keeps how the picture was made. End it in .png.")
    if not output.parent.is_dir():
        raise InvalidInput(f"There is no folder {output.parent}. Make it first, or name another.")
    names = [output.name] if order.count == 1 else [f"{output.stem}-{n}{output.suffix}" for n in _from_one(order.count)]
    targets = [output.with_name(name) for name in names]
    if not order.overwrite and (there := next((target for target in targets if os.path.lexists(target)), None)):
        raise _there_already(there)
    return targets


def _from_one(count: int) -> range:
    return range(1, count + 1)


def _there_already(target: Path) -> InvalidInput:
    return InvalidInput(f"{target} is there already. Name another file with -o, or add --overwrite.")


def _read(path: Path, limits: ImageSettings) -> Image.Image:
    """Raises InvalidInput."""
    try:
        if path.stat().st_size > limits.max_bytes:
            raise ImageTooLarge(f"{path} has more than {limits.max_bytes} bytes (IMAGE_MAX_BYTES).")
        return decode_image(path.read_bytes(), limits).image
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}.") from error


def _parameters(order: Order, abilities: Abilities, first: Image.Image | None) -> Parameters:
    """Those of the first picture. Raises InvalidInput for what can't be drawn."""
    if order.size is not None:
        width, height = _size(order.size)
    elif first is not None:
        width, height = nearest_size(*first.size, abilities)
    else:
        width, height = abilities.width, abilities.height
    parameters = Parameters(
        prompt=order.prompt,
        negative_prompt=order.negative_prompt,
        width=width,
        height=height,
        steps=abilities.steps if order.steps is None else order.steps,
        guidance=abilities.guidance if order.guidance is None else order.guidance,
        seed=secrets.randbelow(MAX_SEED + 1) if order.seed is None else order.seed,
        scheduler=order.scheduler or abilities.scheduler,
        strength=order.strength,
    )
    check_parameters(parameters, abilities, with_picture=first is not None)
    return parameters


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text, re.ASCII)
    if not found:
        raise InvalidInput(f"{text} is no size. Write width and height as in 96x128.")
    return int(found[1]), int(found[2])


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    """A bar that vanishes at the end; none where the console is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


def _draw(
    generator: Generator, parameters: Parameters, first: Image.Image | None, progress: Progress, title: str
) -> Image.Image:
    task = progress.add_task(title, total=parameters.steps)

    def on_step(step: int, steps: int, preview: Preview) -> None:
        progress.update(task, completed=step, total=steps)

    try:
        return generator.generate(parameters, first, on_step)
    finally:
        progress.remove_task(task)


def _write(target: Path, data: bytes, *, overwrite: bool) -> None:
    """Write the whole file or none. Raises InvalidInput where a file is there, AppError where it can't be written."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        if not overwrite:
            target.open("xb").close()  # fails where another program has written the file meanwhile
        part.replace(target)
    except FileExistsError as error:
        raise _there_already(target) from error
    except OSError as error:
        raise AppError(f"{target} can't be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            part.unlink()
