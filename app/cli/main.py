"""`image2search`: the service, the indexer, a search and the demo from the command line."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.errors import AppError
from app.printable import printable
from app.settings import Settings, load_settings

if TYPE_CHECKING:
    from app.search.folders import FolderChoice

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


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; HOST otherwise.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; PORT otherwise.")] = None,
) -> None:
    """Answer searches over HTTP."""
    from app.cli.serving import run_service

    settings = _at(load_settings(), host, port)
    run_service(settings, lambda address: console.print(f"Docs: {address}/docs", highlight=False))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def index(context: typer.Context) -> None:
    """Bring the index in step with the pictures (`image2search index --help` lists the options)."""
    os.execv(sys.executable, [sys.executable, "-m", "indexer", *context.args])  # noqa: S606 - our own program


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What the picture shows, or the path of a picture to find its likes.")],
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many results.")] = 5,
    folder: Annotated[str, typer.Option(help="Only in or below this folder.")] = "",
    auto_folder: Annotated[
        bool,
        typer.Option(help="Search only in the folder that the query points at, as in 'dogs in the nature folder'."),
    ] = True,
) -> None:
    """Search from the terminal, without a running service."""
    from app.cli.serving import search_once

    answer = search_once(load_settings(), query, k, folder, auto_folder=auto_folder)
    if answer.folder and answer.folder.source == "detected":
        console.print(Text(printable(_what_was_searched(answer.folder))), soft_wrap=True)
    table = Table("score", "picture", box=None)
    for hit in answer.hits:
        table.add_row(f"{hit.score:.3f}", Text(printable(hit.uri), overflow="fold"))
    console.print(table)


@app.command()
def demo(
    port: Annotated[int | None, typer.Option(help="Port to listen on; PORT otherwise.")] = None,
) -> None:
    """Index the sample pictures with the demo model and serve them."""
    from app.cli.demo import run_demo

    run_demo(_at(load_settings(), None, port), console)


def _what_was_searched(folder: "FolderChoice") -> str:
    return (
        f"Searched {' and '.join(folder.paths)} for '{folder.embedded_text}': the query points at that folder with "
        f"'{' '.join(folder.words)}'. --no-auto-folder searches everywhere."
    )


def _at(settings: Settings, host: str | None, port: int | None) -> Settings:
    """The settings with the address that the command line gives."""
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    return settings.model_copy(update={"server": settings.server.model_copy(update=given)})
