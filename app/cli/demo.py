"""The demo: sample pictures, the demo model, storage and index in a folder; what `.env` says of these is ignored."""

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from app.bootstrap import open_catalog, open_store
from app.cli.serving import run_service
from app.errors import AppError
from app.library.filling import put_pictures
from app.models.calibration import SAMPLES
from app.models.checkpoint import find_checkpoint
from app.settings import Settings, environment_of
from app.storage.base import ObjectStore

DEMO_FOLDER = Path("data/demo")
STORAGE_URL = f"file://{DEMO_FOLDER}"
MODEL = "demo"

TRY = """
[bold]image2search is ready.[/] Three things to try:

  [dim]# describe a picture[/]
  curl -s {address}/api/v1/search/text -H 'Content-Type: application/json' -d '{{"query": "a red car at night"}}'
  [dim]# show one[/]
  curl -s {address}/api/v1/search/image -F file=@{picture} -F k=3
  [dim]# look inside a folder; pointing at it in the query does the same: "yellow in the food folder"[/]
  curl -s {address}/api/v1/search/text -H 'Content-Type: application/json' -d '{{"query": "yellow", "folder": "food"}}'

Docs: {address}/docs   [dim](Ctrl-C ends the demo)[/]
"""


def demo_settings(settings: Settings) -> Settings:
    """`settings` with the demo's own storage, model and vector store, and its index beside its pictures."""
    return settings.model_copy(
        update={
            "storage": settings.storage.model_copy(update={"url": STORAGE_URL}),
            "model": settings.model.model_copy(update={"name": MODEL}),
            "vector": settings.vector.model_copy(update={"store": "faiss"}),
            "index": settings.index.model_copy(update={"url": ""}),
        }
    )


def run_demo(settings: Settings, console: Console) -> None:
    """Fill the store, index what is new with a progress bar, and serve until interrupted. Raises AppError."""
    settings = demo_settings(settings)
    DEMO_FOLDER.mkdir(parents=True, exist_ok=True)
    store = open_store(settings.storage)
    put_pictures(store, SAMPLES)
    code = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "indexer", *_index_options(settings, store)],
        env={**os.environ, **environment_of(settings)},
        check=False,
    ).returncode
    if code:
        raise AppError("The sample pictures could not be indexed; the reason stands above.")
    picture = os.path.relpath(min(SAMPLES.glob("animals/*.jpg")))

    def announce(address: str) -> None:
        console.print(TRY.format(address=address, picture=escape(picture)), highlight=False, soft_wrap=True)

    run_service(settings, announce)


def _index_options(settings: Settings, store: ObjectStore) -> list[str]:
    """A newer demo model rebuilds the index: it holds nothing but the sample pictures."""
    pointer = open_catalog(settings, store).pointer()
    is_other = pointer is not None and pointer.model.fingerprint != find_checkpoint(settings.model).fingerprint()
    return ["--rebuild"] if is_other else []
