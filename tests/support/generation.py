"""Generations over a folder store, with the real worker process and a generator without a network."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from app.catalog.view import View
from app.encoder.workers import Workers
from app.generation.blocklist import Screen, no_screen
from app.generation.device import Device
from app.generation.intake import FirstPictures, Intake, Model
from app.generation.jobs import PictureRequest
from app.generation.ledger import Ledger
from app.generation.runner import Timing
from app.generation.saving import GeneratedPicture
from app.generation.service import Generations
from app.models.generator import loading
from app.models.generator.base import Abilities
from app.pictures.processes import InThisProcess
from app.settings import GenerationSettings, ImageSettings
from app.storage.base import ObjectStore
from app.storage.local import LocalStore
from app.types import ImageRecord, image_id_of
from tests.support.fake_generator import ABILITIES, COMMAND, LOG, environment, gate

QUICK = Timing(beat_s=0.1, lease_s=0.5, poll_s=0.1, watch_s=0.05)
DEADLINE_S = 90.0


@dataclass
class Shelf:
    """A library that only remembers."""

    pictures: list[GeneratedPicture] = field(default_factory=list)
    error: Exception | None = None

    async def add(self, picture: GeneratedPicture) -> ImageRecord:
        if self.error:
            raise self.error
        self.pictures.append(picture)
        key = f"{picture.folder}/{picture.name}"
        return ImageRecord(image_id_of(key), key, "etag", "hash", len(picture.data), 0.0, 1, 1)

    def check_folder(self, folder: str, seen: View | None) -> str:
        return folder.strip("/")


@dataclass
class Studio:
    """What a test of generations works with."""

    folder: Path
    shelf: Shelf = field(default_factory=Shelf)

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def store(self) -> LocalStore:
        bucket = self.folder / "bucket"
        bucket.mkdir(exist_ok=True)
        return LocalStore(bucket)

    def lines(self) -> list[str]:
        """What the worker has done."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def drawn(self) -> list[str]:
        """The first words of the prompts, in the order in which their drawing began."""
        return [line.split()[0] for line in self.lines() if line.endswith(" step 1")]

    def open(self, name: str) -> None:
        """Let drawings go on that wait at this gate."""
        gate(self.log, name).touch()

    @asynccontextmanager
    async def generations(
        self,
        *,
        store: ObjectStore | None = None,
        command: Iterable[str] = COMMAND,
        timing: Timing = QUICK,
        screen: Screen = no_screen,
        abilities: Abilities | None = ABILITIES,
        variables: dict[str, str] | None = None,
        **settings: object,
    ) -> AsyncIterator[Generations]:
        """The service, running. `settings` are of `GenerationSettings`."""
        store = store or self.store
        intake = Intake(
            of_model(**settings),
            Model(lambda: None, lambda: abilities),
            FirstPictures(store, InThisProcess(), ImageSettings()),
            screen=screen,
            check_folder=self.shelf.check_folder,
            workers=Workers(1, 8),
        )
        made = Generations(
            of_model(**settings),
            intake,
            Ledger(store),
            Device(environment(self.log) | (variables or {}), tuple(command)),
            add_to_library=self.shelf.add,
            check_folder=self.shelf.check_folder,
            workers=Workers(4, 100),
            timing=timing,
        )
        await made.run()
        try:
            yield made
        finally:
            await made.stop()


def of_model(**settings: object) -> GenerationSettings:
    return GenerationSettings(**{"model": "fake", **settings})


def asked(prompt: str, **fields: object) -> PictureRequest:
    return PictureRequest(prompt, **fields)


def run(story: Callable[[], Awaitable[None]]) -> None:
    """A test's story on an event loop, within the deadline."""

    async def within() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await story()

    asyncio.run(within())


def use_fake_generator(patch: pytest.MonkeyPatch, log: Path, **settings: object) -> GenerationSettings:
    """Let services that are made from now on draw with it. Returns settings for them, with these ones."""
    patch.setenv(LOG, str(log))
    patch.setattr("app.bootstrap.services.Device", partial(Device, command=COMMAND))
    check = loading.check_installed
    patch.setattr(loading, "check_installed", lambda settings: settings.model == "fake" or check(settings))
    patch.setattr(loading, "read_abilities", lambda settings: ABILITIES)
    return of_model(**settings)
