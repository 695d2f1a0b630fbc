"""The service over HTTP: a bucket with a few made-up pictures, fake embedders, and a real server in a thread."""

import asyncio
import colorsys
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image

from app.bootstrap import Parts
from app.catalog.changes import Changes
from app.http.server import server_config
from app.main import create_app
from app.models.base import Embedder
from app.models.lazy import LazyEmbedder
from app.pictures.decoding import Picture, decode_image
from app.settings import ImageSettings, IndexSettings, Settings, StorageSettings
from app.storage.base import ObjectStore
from app.storage.local import LocalStore
from app.types import ImageRecord, ModelIdentity, Vectors, hash_content, image_id_of
from tests.support.catalogs import catalog_on
from tests.support.pictures import encoded

DEADLINE_S = 20.0

KEYS = (
    "animals/cat1.jpg",
    "animals/dog2.png",
    "nature/beach/waves.png",
    "nature/mountain view.jpg",
    "nature/sunset1.jpg",
    "top.png",
    "vehicles/car1.jpg",
)


class FakeEmbedder:
    """Texts and pictures to vectors by their hash: the same input always has the same, no two are near."""

    has_patches = True

    def __init__(self, *, fingerprint: str = "fake" * 8, notice: str | None = None) -> None:
        self.identity = ModelIdentity("fake/model", fingerprint, 8, "fp32", "fake")
        self.notice = notice
        self.texts: list[str] = []
        self.pictures = 0

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return np.stack([_row(text.encode()) for text in texts])

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        self.pictures += len(images)
        return np.stack([_row(image.resize((8, 8)).tobytes()) for image in images])

    def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(len(text.split()) + 2 for text in texts)

    def read_picture(self, data: bytes, limits: ImageSettings) -> Picture:
        return decode_image(data, limits)


class GatedEmbedder(FakeEmbedder):
    """Waits in every pass until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.gate = threading.Event(), threading.Event()

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.entered.set()
        assert self.gate.wait(DEADLINE_S)
        return super().encode_texts(texts)


def _row(data: bytes) -> Vectors:
    row = np.random.default_rng(int(hash_content(data), 16)).standard_normal(8).astype(np.float32)
    return row / np.linalg.norm(row)


def picture(key: str, size: tuple[int, int] = (60, 40)) -> Image.Image:
    """A gradient in a colour that only this key has."""
    hue = int(image_id_of(key), 16) % 997 / 997
    red, green, blue = (int(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.8, 0.9))
    return Image.merge(
        "RGB", [Image.linear_gradient("L").resize(size).point(lambda v, c=c: v * c // 255) for c in (red, green, blue)]
    )


def settings_for(folder: Path, **groups: object) -> Settings:
    groups.setdefault("index", IndexSettings(poll_s=0.1))
    return Settings(storage=StorageSettings(url=f"file://{folder}"), **groups)


def add_pictures(store: ObjectStore, embedder: Embedder, keys: Sequence[str] = KEYS) -> Changes:
    """Put the pictures into the store and return the changes that index them."""
    records, images = [], []
    for key in keys:
        image = picture(key)
        data = encoded(image, "JPEG" if key.endswith("jpg") else "PNG")
        etag = store.put(key, data)
        images.append(Image.open(io.BytesIO(data)).convert("RGB"))
        records.append(ImageRecord(image_id_of(key), key, etag, hash_content(data), len(data), 1e9, *image.size))
    return Changes(added=tuple(records), vectors=embedder.encode_images(images))


def loaded(embedder: Embedder) -> LazyEmbedder:
    """A model that is there already."""
    return LazyEmbedder(lambda: embedder.identity.fingerprint, lambda _: embedder)


def make_parts(folder: Path, embedder: Embedder | None = None, keys: Sequence[str] = KEYS, **groups: object) -> Parts:
    """Parts over a folder store in which `keys` are indexed; without keys nothing is published."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings_for(folder, **groups)
    embedder = embedder or FakeEmbedder()
    store = LocalStore(folder)
    catalog = catalog_on(store, settings.index)
    if keys:
        catalog.publish(add_pictures(store, embedder, keys), embedder.identity)
    return Parts(settings, store, catalog, loaded(embedder), store)


@contextmanager
def serving(app: FastAPI, **options: object) -> Iterator[httpx2.Client]:
    """A real server on a free port, and a client of it. `options` are uvicorn's, besides ours."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(app, timeout_graceful_shutdown=5, **options))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        assert server.started, "the service did not start"
        with httpx2.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=DEADLINE_S) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)
        listener.close()
        assert not thread.is_alive()


@contextmanager
def serving_parts(parts: Parts) -> Iterator[httpx2.Client]:
    with serving(create_app(parts.settings, parts)) as client:
        yield client


@contextmanager
def connected(client: httpx2.Client) -> Iterator[socket.socket]:
    """A raw connection to the client's server."""
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address, timeout=DEADLINE_S) as connection:
        yield connection


def wait_until(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    ends = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.005)


async def until(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - what is waited for is seen from outside
            await asyncio.sleep(0.002)
