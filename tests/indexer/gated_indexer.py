"""`python -m tests.indexer.gated_indexer FOLDER [options]`: the indexer with a model that a test holds up.

The nth batch makes FOLDER/batch-n and then waits for FOLDER/open, from the third on. A signal that was noted makes
FOLDER/signalled.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import numpy as np
from PIL import Image

from app.catalog.catalog import Catalog
from app.pictures.decoding import Picture, decode_image
from app.settings import ImageSettings, Settings
from app.storage.local import LocalStore
from app.types import Vectors
from indexer import cli
from indexer.executor import Model, Parts
from indexer.signals import StopSignal
from tests.support.catalogs import DIMENSION, MODEL

HELD_FROM = 3


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
        deadline = time.monotonic() + 60
        while self._batches >= HELD_FROM and not (self._folder / "open").exists():
            assert time.monotonic() < deadline, "nobody opened the gate"
            time.sleep(0.01)
        rows = np.stack([np.asarray(image, np.float32).ravel()[:DIMENSION] + 1 for image in images])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    def read(self, data: bytes, limits: ImageSettings) -> Picture:
        return decode_image(data, limits)


class NotedStopSignal(StopSignal):
    def _handle(self, number: int, frame: FrameType | None) -> None:
        super()._handle(number, frame)
        Path(sys.argv[1], "signalled").touch()


def assemble(settings: Settings) -> Parts:
    store = LocalStore.from_url(settings.storage.url)
    gate = Path(sys.argv[1])
    return Parts(
        settings, store, Catalog(store, settings.index), Model(lambda: MODEL.fingerprint, lambda _: GatedEmbedder(gate))
    )


if __name__ == "__main__":
    cli.StopSignal = NotedStopSignal
    cli.make_app(assemble)(sys.argv[2:])
