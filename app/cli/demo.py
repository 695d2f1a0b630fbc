"""The demo: sample pictures, the demo models, storage and index in a folder; what `.env` says of these is ignored."""

import os
import shlex
import shutil
import sys

from rich.console import Console
from rich.markup import escape

from app.bootstrap import open_catalog, open_store
from app.cli.serving import run_service
from app.indexing.foreground import run_indexer
from app.library.filling import put_pictures
from app.models.calibration import SAMPLES
from app.models.checkpoint import DEMO_MODEL, find_checkpoint
from app.settings import Settings, StorageSettings, environment_of
from app.storage.base import ObjectStore
from app.storage.urls import folder_of_url

STORAGE_URL = str(StorageSettings.model_fields["url"].default)
"""The default, so that every command finds the demo's pictures while nothing else is set."""

TRY = """
[bold]image2search is ready: open {address} in a browser.[/] Or try five things in another terminal:

  [dim]# describe a picture; "yellow in the food folder" looks in that folder[/]
  {search} "a red car at night"
  [dim]# show one[/]
  {search} {picture} -k 3
  [dim]# the same over HTTP[/]
  curl -s {address}/api/v1/search/text -H 'Content-Type: application/json' -d '{query}' | python3 -m json.tool
  [dim]# add a picture, and find it[/]
  curl -s -w '\\n' {address}/api/v1/images -F file=@{mine} -F folder=mine && {search} "a fox" --folder mine
  [dim]# have one drawn (by a tiny model that was trained on drawings)[/]
  {generate} "a red car at night" -o red-car.png

Docs: {address}/docs   [dim](Ctrl-C ends the demo)[/]
"""

MINE = "animals/fox-in-snow.jpg"
"""The picture that the demo lets a person add."""

SEARCHED = {"STORAGE_URL", "MODEL", "VECTOR_STORE", "INDEX_URL"}
"""Variables that decide what `image2search search` finds."""

QUERY = '{"query": "a red car at night", "k": 1}'


def demo_settings(settings: Settings) -> Settings:
    """`settings` with the demo's own storage, models and vector store, and its index beside its pictures."""
    return settings.model_copy(
        update={
            "storage": settings.storage.model_copy(update={"url": STORAGE_URL}),
            "model": settings.model.model_copy(update={"name": DEMO_MODEL}),
            "caption": settings.caption.model_copy(update={"model": DEMO_MODEL}),
            "generation": settings.generation.model_copy(update={"model": DEMO_MODEL}),
            "vector": settings.vector.model_copy(update={"store": "faiss"}),
            "index": settings.index.model_copy(update={"url": ""}),
        }
    )


def run_demo(own: Settings, console: Console) -> None:
    """Fill the store, index what is new with a progress bar, and serve until interrupted.

    Raises AppError; CalledProcessError and KeyboardInterrupt as `run_indexer`.
    """
    settings = demo_settings(own)
    folder_of_url(STORAGE_URL).mkdir(parents=True, exist_ok=True)
    store = open_store(settings.storage)
    put_pictures(store, SAMPLES)
    run_indexer(settings, *_index_options(settings, store))
    picture = escape(shlex.quote(os.path.relpath(min(SAMPLES.glob("animals/*.jpg")))))
    mine = escape(shlex.quote(os.path.relpath(SAMPLES / MINE)))
    search = _command("search", SEARCHED, own, settings)
    generate = _command("generate", {"GENERATION_MODEL"} if own.generation.model else set(), own, settings)

    def announce(address: str) -> None:
        told = TRY.format(
            address=address, picture=picture, mine=mine, search=escape(search), query=QUERY, generate=escape(generate)
        )
        console.print(told, highlight=False, soft_wrap=True)

    run_service(settings, announce)


def _command(name: str, needed: set[str], own: Settings, settings: Settings) -> str:
    """As a person types it here, with those demo's settings that it needs and that differ from their own."""
    program = "image2search" if shutil.which("image2search") else os.path.relpath(sys.argv[0])
    others = environment_of(own)
    demos = [
        f"{variable}={shlex.quote(value)}"
        for variable, value in environment_of(settings).items()
        if variable in needed and others[variable] != value
    ]
    return " ".join([*demos, shlex.quote(program), name])


def _index_options(settings: Settings, store: ObjectStore) -> list[str]:
    """A newer demo model rebuilds the index, which holds little but the samples; else missing captions are made."""
    pointer = open_catalog(settings, store).pointer()
    is_other = pointer is not None and pointer.model.fingerprint != find_checkpoint(settings.model).fingerprint()
    return ["--rebuild"] if is_other else ["--captions"]
