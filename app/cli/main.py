"""`image2search`: the service, the indexer, a search, pictures from the web and the demo from the command line."""

import importlib.metadata
import logging
import os
import sys
from enum import StrEnum
from pathlib import Path
from subprocess import CalledProcessError
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from app.errors import AppError, InvalidInput
from app.printable import PrintableFormatter, printable
from app.settings import Settings, load_settings


class Provider(StrEnum):
    """Where `fetch` looks for pictures."""

    OPENVERSE = "openverse"
    DDGS = "ddgs"


class DuplicateKind(StrEnum):
    """As `app.library.duplicate_groups.Kind`, which takes a while to import."""

    BYTES = "bytes"
    PHOTO = "photo"
    SIMILAR = "similar"


app = typer.Typer(add_completion=False, no_args_is_help=True, help="Find your pictures by describing or showing one.")
console = Console()
problems = Console(stderr=True)


def main() -> None:
    """The entry point. An expected error ends as one sentence on stderr and exit code 1."""
    try:
        app()
    except AppError as error:
        problems.print(Text("Error:", "red"), Text(printable(str(error))), soft_wrap=True)
        sys.exit(1)
    except CalledProcessError as error:  # the indexer, which has said what was wrong
        sys.exit(error.returncode if error.returncode > 0 else 1)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"image2search {importlib.metadata.version('image2search')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Find your pictures by describing or showing one."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; HOST otherwise.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; PORT otherwise.")] = None,
) -> None:
    """Answer searches over HTTP."""
    from app.cli.serving import run_service

    settings = _at(load_settings(), host, port)

    def announce(address: str) -> None:
        if settings.server.web_app:
            console.print(f"Web app: {address}", highlight=False)
        console.print(f"Docs: {address}/docs", highlight=False)

    run_service(settings, announce)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def index(context: typer.Context) -> None:
    """Bring the index in step with the pictures (`image2search index --help` lists the options)."""
    os.execv(sys.executable, [sys.executable, "-m", "indexer", *context.args])  # noqa: S606 - our own program


@app.command(context_settings={"token_normalize_func": lambda name: name.replace("_", "-")})
def search(
    *,
    query: Annotated[
        str | None, typer.Argument(help="What the picture shows, or the path of a picture to find its likes.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(metavar="QUERY", help="The query, as an option.")] = None,
    images_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Search this folder of pictures, not STORAGE_URL. Its index is made and kept up to date by itself, in "
            "your cache folder.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--top-k", min=1, max=100, help="How many results.")] = 5,
    folder: Annotated[str, typer.Option(help="Only in or below this folder of the pictures.")] = "",
    auto_folder: Annotated[
        bool,
        typer.Option(help="Search only in the folder that the query points at, as in 'dogs in the nature folder'."),
    ] = True,
    minus_words: Annotated[
        bool,
        typer.Option(help="Take away what the query excludes, as in 'beach -people' or 'beach without people'."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    print0: Annotated[bool, typer.Option("--print0", help="Print the paths alone, for xargs -0.")] = False,
) -> None:
    """Search from the terminal, without a running service."""
    if (query is None) == (prompt is None):
        raise InvalidInput('Say once what to look for, as in: image2search search "a red car".')
    if as_json and print0:
        raise InvalidInput("--json and --print0 exclude each other. Give one of them.")
    _log_warnings()
    from app.cli import search as searching

    write = searching.write_json if as_json else searching.write_paths if print0 else searching.write_lines
    request = searching.Request(query or prompt or "", k, folder, auto_folder, minus_words, images_dir)
    searching.search(request, write, tell=_tell)


@app.command()
def duplicates(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of pictures; it is only read.")],
    *,
    kind: Annotated[
        list[DuplicateKind] | None,
        typer.Option(
            help="bytes: the same bytes; photo: the same photo, resized, cropped, turned, ...; similar: bursts and the "
            "like. Several times for several kinds; all of them otherwise."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    print0: Annotated[
        bool,
        typer.Option("--print0", help="Print the paths that need not be kept alone, for xargs -0. Needs --kind."),
    ] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 3 where there are duplicates.")] = False,
) -> None:
    """Find duplicates in a folder, and say which picture of each group to keep. Nothing is deleted.

    Ends with 0 when the folder was compared, whether or not there are duplicates (3 if there are, with --exit-code);
    with 1 after an error.
    """
    if as_json and print0:
        raise InvalidInput("--json and --print0 exclude each other. Give one of them.")
    if print0 and not kind:
        raise InvalidInput("--print0 lists pictures to delete. Say with --kind which duplicates are meant.")
    _log_warnings()
    from app.cli import duplicates as finding

    write = finding.write_json if as_json else finding.write_paths if print0 else finding.write_groups
    found = finding.duplicates(folder, [each.value for each in kind or DuplicateKind], write, tell=_tell)
    raise typer.Exit(3 if found and exit_code else 0)


@app.command()
def fetch(
    query: Annotated[str, typer.Argument(help="What the pictures should show.")],
    folder: Annotated[str, typer.Option(help="Folder of the pictures to put them into; empty: the top.")] = "",
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=100, help="How many to look for.")] = 20,
    provider: Annotated[
        Provider, typer.Option(help="Openverse has licensed pictures; ddgs (an extra) searches without licences.")
    ] = Provider.OPENVERSE,
) -> None:
    """Look for pictures on the web and add them, with the names of their makers and licences where they are known."""
    _log_warnings()
    from app.cli import fetch as fetching
    from app.library.imports.job import WebQuery

    fetching.fetch(WebQuery(query, provider.value, count), folder, typer.echo, tell=_tell)


@app.command(context_settings={"token_normalize_func": lambda name: name.replace("_", "-")})
def generate(
    prompt: Annotated[str, typer.Argument(help="What the picture should show.")],
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The PNG file; -n 2 makes FILE-1.png and FILE-2.png.")
    ] = Path("generated.png"),
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Width and height, pixels, as in 96x128; the model's own otherwise."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps from noise to picture: more take longer.")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="How closely the picture follows the prompt; 1: no guidance.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Equal seeds and options give equal pictures; by chance otherwise.")
    ] = None,
    negative_prompt: Annotated[
        str, typer.Option("--negative-prompt", "--negative", help="What the picture should not show.")
    ] = "",
    scheduler: Annotated[
        str | None, typer.Option(help="Way from noise to picture, such as ddim or dpm++; a wrong name lists all.")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=100, help="How many pictures.")] = 1,
    init: Annotated[
        Path | None, typer.Option(metavar="PICTURE", help="A picture that the drawing begins from.")
    ] = None,
    strength: Annotated[float, typer.Option(help="How much of that picture is drawn anew, 0 to 1.")] = 0.8,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over a file that is there.")] = False,
) -> None:
    """Draw a picture from words, without a running service. Prints the path of the file.

    GENERATION_MODEL names the model; the demo model draws where it is not set.
    """
    _log_warnings()
    from app.cli import generate as generating

    order = generating.Order(
        prompt, output, size, steps, guidance, seed, negative_prompt, scheduler, count, init, strength, overwrite
    )
    generating.generate(order, typer.echo, _tell, problems)


@app.command()
def demo(
    port: Annotated[int | None, typer.Option(help="Port to listen on; PORT otherwise.")] = None,
) -> None:
    """Index the sample pictures with the demo model and serve them."""
    from app.cli.demo import run_demo

    run_demo(_at(load_settings(), None, port), console)


def _tell(sentence: str) -> None:
    problems.print(Text(printable(sentence)), soft_wrap=True)


def _log_warnings() -> None:
    """Warnings to stderr, but not from where they are the command's own error or output as well."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("Warning: %(message)s"))
    handler.addFilter(lambda record: record.name not in ("app.catalog.live", "app.library.imports.service"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _at(settings: Settings, host: str | None, port: int | None) -> Settings:
    """The settings with the address that the command line gives."""
    given: dict[str, Any] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    return settings.model_copy(update={"server": settings.server.model_copy(update=given)})
