"""The parts of Ray's workers in tests: a cheap store and model, with the faults that a test asks for."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.errors import ModelUnavailable, ObjectNotFound
from app.models.base import Embedder
from app.models.captioner.base import Captioner
from app.pictures.decoding import Picture, decode_image
from app.settings import ImageSettings
from app.storage.base import ObjectStore, StoredObject
from app.storage.local import LocalStore
from app.types import ModelIdentity, Vectors
from indexer.ray.workers import WorkerParts
from tests.support.captions import FakeCaptioner
from tests.support.catalogs import DIMENSION, MODEL
from tests.support.stores import WrappedStore

PATIENCE_S = 120


@dataclass(frozen=True)
class Faults:
    """What goes wrong, and over which keys or pictures. Pictures are known by their width."""

    folder: Path
    """Where a fault that happens only once is noted."""
    dies_reading_once: str = ""
    dies_embedding_once: int = 0
    dies_embedding: int = 0
    refuses: int = 0
    waits_for_gate: int = 0
    """Until FOLDER/open is there."""
    sees_nothing: bool = False
    loads: bool = True
    fingerprint: str = MODEL.fingerprint
    describes: bool = False
    """Whether there is a captioner."""
    refuses_to_describe: str = ""
    """The caption that it fails to say."""


@dataclass(frozen=True)
class FaultyParts(WorkerParts):
    faults: Faults

    def open_store(self) -> ObjectStore:
        return FaultyStore(LocalStore.from_url(self.settings.storage.url), self.faults)

    def load_embedder(self) -> Embedder:
        if not self.faults.loads:
            raise ModelUnavailable("This worker has no model.")
        return FaultyEmbedder(self.faults)

    def load_captioner(self) -> Captioner | None:
        if not self.faults.describes:
            return None
        captioner = FakeCaptioner()
        captioner.refused = {self.faults.refuses_to_describe}
        return captioner

    def picture_reader(self) -> Callable[[bytes, ImageSettings], Picture]:
        return decode_image


class FaultyStore(WrappedStore):
    def __init__(self, inner: ObjectStore, faults: Faults) -> None:
        super().__init__(inner)
        self._faults = faults

    def get(self, key: str, **options: Any) -> StoredObject:
        if self._faults.sees_nothing:
            raise ObjectNotFound(f"There is no object {key}.")
        if key == self._faults.dies_reading_once:
            _die_once(self._faults.folder / "died-reading")
        return self.inner.get(key, **options)


class FaultyEmbedder:
    notice = None

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.identity: ModelIdentity = replace(MODEL, fingerprint=faults.fingerprint)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        raise NotImplementedError

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        widths = {image.width for image in images}
        if self._faults.dies_embedding_once in widths:
            _die_once(self._faults.folder / "died-embedding")
        if self._faults.dies_embedding in widths:
            _die()
        if self._faults.refuses in widths:
            raise ValueError("no such picture")
        if self._faults.waits_for_gate in widths:
            _wait_for(self._faults.folder / "open")
        rows = np.stack([np.asarray(image, np.float32).ravel()[:DIMENSION] + 1 for image in images])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    def read_picture(self, data: bytes, limits: ImageSettings) -> Picture:
        return decode_image(data, limits)


def _die_once(mark: Path) -> None:
    if not mark.exists():
        mark.touch()
        _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wait_for(gate: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not gate.exists():
        assert time.monotonic() < deadline, "the test did not open the gate"
        time.sleep(0.01)
