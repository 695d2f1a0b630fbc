"""`python -m tests.indexer.gated_indexer FOLDER [options]`: the indexer with a model that a test holds up.

The nth batch makes FOLDER/batch-n and then, from the third on, waits for FOLDER/open. A stop that was noticed makes
FOLDER/signalled.
"""

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import typer
from PIL import Image

from app.bootstrap import Parts
from app.models.lazy import LazyEmbedder
from app.pictures.decoding import Picture, decode_image
from app.settings import ImageSettings, Settings
from app.storage.base import ObjectInfo
from app.storage.local import LocalStore
from app.types import Vectors
from indexer.cli import make_app
from indexer.local_executor import LocalExecutor
from indexer.signals import Stop
from tests.support.catalogs import DIMENSION, MODEL, catalog_on

HELD_FROM = 3
TIMEOUT_S = 60


class GatedEmbedder:
    identity = MODEL
    notice = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._batches = 0

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        raise NotImplementedError

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        self._batches += 1
        (self._folder / f"batch-{self._batches}").touch()
        deadline = time.monotonic() + TIMEOUT_S
        while self._batches >= HELD_FROM and not (self._folder / "open").exists():
            assert time.monotonic() < deadline, "the test did not open the gate"
            time.sleep(0.01)
        rows = np.stack([np.asarray(image, np.float32).ravel()[:DIMENSION] + 1 for image in images])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    def read_picture(self, data: bytes, limits: ImageSettings) -> Picture:
        return decode_image(data, limits)


def gated_app(folder: Path) -> typer.Typer:
    """The command with the gate in `folder`."""

    class StopNotingExecutor(LocalExecutor):
        """Notes a requested stop while the model is held up."""

        def run(self, objects: Sequence[ObjectInfo], stop: Stop) -> None:
            over = threading.Event()
            thread = threading.Thread(target=_note, args=[stop, folder, over])
            thread.start()
            try:
                super().run(objects, stop)
            finally:
                over.set()
                thread.join()

    def build(settings: Settings) -> Parts:
        store = LocalStore.from_url(settings.storage.url)
        model = LazyEmbedder(lambda: MODEL.fingerprint, lambda _: GatedEmbedder(folder))
        return Parts(settings, store, catalog_on(store, settings.index), model, store)

    return make_app(build, StopNotingExecutor)


def _note(stop: Stop, folder: Path, over: threading.Event) -> None:
    while not over.is_set():
        if stop.wait(0.02):
            (folder / "signalled").touch()
            return


if __name__ == "__main__":
    gated_app(Path(sys.argv[1]))(sys.argv[2:])
