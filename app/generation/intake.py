"""From a request to a job that can be drawn: its limits, prompt and folder, and the picture that it begins from."""

import io
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

from PIL import Image

from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import ContentRefused, ImageNotFound, ModelUnavailable, NotConfigured
from app.generation.blocklist import Screen
from app.generation.checks import check_limits, parameters_for
from app.generation.jobs import Generation, PictureRequest
from app.generation.ledger import created_at, new_id
from app.models.generator.base import Abilities
from app.models.generator.limits import MAX_SEED
from app.pictures.decoding import Size, decode_image
from app.pictures.limits import Limits
from app.pictures.processes import Decoders
from app.settings import GenerationSettings, ImageSettings
from app.storage.base import ObjectStore

log = logging.getLogger(__name__)

CheckFolder: TypeAlias = Callable[[str, View | None], str]
"""The folder as it is stored. Raises InvalidInput, FolderNotFound."""

MAX_FIRST_SIDE: Final = 2048
"""Pixels of the longer side of a picture that a drawing begins from. It is scaled to the size of the result anyway."""


class FirstPictures:
    """Reads pictures that drawings begin from: upright, in sRGB, not larger than needed."""

    def __init__(self, store: ObjectStore, decoders: Decoders, images: ImageSettings) -> None:
        """`store` has the indexed pictures."""
        self._store = store
        self._decoders = decoders
        self._images = images

    def of_record(self, image_id: str, view: View) -> bytes:
        """A PNG file of an indexed picture. Raises ImageNotFound, ObjectNotFound, and as `of_file`."""
        return self.of_file(self._store.get(view.record(image_id).object_key, max_bytes=self._images.max_bytes).data)

    def of_file(self, data: bytes) -> bytes:
        """A PNG file of the picture. Raises InvalidImage and its kin."""
        return self._decoders.run(first_picture, data, self._images)


def first_picture(data: bytes, limits: Limits) -> bytes:
    """A PNG file of the picture in a file, at most MAX_FIRST_SIDE long. Runs where pictures are decoded."""
    image = decode_image(data, limits, _needed).image
    image.thumbnail((MAX_FIRST_SIDE, MAX_FIRST_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    Image.frombytes("RGB", image.size, image.tobytes()).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _needed(size: Size) -> Size:
    scale = min(1.0, MAX_FIRST_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@dataclass(frozen=True)
class Model:
    """What is known of the generator before it is loaded."""

    check_installed: Callable[[], None]
    """Raises NotConfigured, NotInstalled, ModelUnavailable."""
    read_abilities: Callable[[], Abilities | None]
    """None where only the loaded model can say."""


class Intake:
    """Checks requests. What it accepts can be drawn, as far as can be known before the model is loaded."""

    def __init__(
        self,
        settings: GenerationSettings,
        model: Model,
        firsts: FirstPictures,
        *,
        screen: Screen,
        check_folder: CheckFolder,
        workers: Workers,
    ) -> None:
        """`workers` wait for decoders, and read small files of the model."""
        self._settings = settings
        self._model = model
        self._firsts = firsts
        self._screen = screen
        self._check_folder = check_folder
        self._workers = workers
        self.abilities: Abilities | None = None
        """What the model can draw; None until it is known."""

    async def check_ready(self) -> None:
        """Raise NotConfigured or NotInstalled, with what to do, where this service can draw nothing."""
        try:
            await self._workers.run(self._model.check_installed)
            if self.abilities is None:
                self.abilities = await self._workers.run(self._model.read_abilities)
        except ModelUnavailable as error:
            log.warning("GENERATION_MODEL can't be used: %s", error)
            raise NotConfigured(
                "GENERATION_MODEL names no model that this service can draw with. Its log says why."
            ) from error

    async def accept(
        self, request: PictureRequest, seen: View | None, caller: str, upload: bytes | None
    ) -> tuple[Generation, bytes | None]:
        """The job, and the PNG file that its drawing begins from. Raises as `Generations.start`."""
        check_limits(request, self._settings)
        if refusal := self._screen(request.prompt):
            raise ContentRefused(refusal)
        if request.save_to_folder is not None:
            request = replace(request, save_to_folder=self._check_folder(request.save_to_folder, seen))
        first, folder = await self._first(request, seen, upload)
        if request.seed is None:
            request = replace(request, seed=secrets.randbelow(MAX_SEED + 1))
        if self.abilities is not None:
            size = _size_of(first) if first else None
            parameters_for(request, self.abilities, self._settings, request.seed or 0, size)
        job_id = new_id()
        generation = Generation(
            job_id, request, caller, created_at(job_id), init_folder=folder, has_first=first is not None
        )
        return generation, first

    async def _first(
        self, request: PictureRequest, seen: View | None, upload: bytes | None
    ) -> tuple[bytes | None, str | None]:
        """The PNG file that the drawing begins from, and the folder of an indexed picture."""
        if upload is not None:
            return await self._workers.run(self._firsts.of_file, upload), None
        if request.init_image_id is None:
            return None, None
        if seen is None:
            raise ImageNotFound(f"No indexed picture has the id {request.init_image_id!r}: nothing is indexed yet.")
        folder = seen.record(request.init_image_id).folder
        return await self._workers.run(partial(self._firsts.of_record, request.init_image_id, seen)), folder


def _size_of(png: bytes) -> Size:
    with Image.open(io.BytesIO(png)) as image:
        return image.size
