"""Generations: a prompt becomes a picture, as a job that can be followed, cancelled, and survives a restart.

A request passes the intake, and its job is written to the bucket (`ledger`) and stands in the queue (`turns`). The
runner takes one job after the other, lets the worker process draw it (`device`), and tells the watchers (`board`).
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import Conflict, ImageNotFound, JobNotFound, NotConfigured, NotInstalled, Unavailable
from app.generation.board import Board
from app.generation.device import Device
from app.generation.intake import CheckFolder, Intake
from app.generation.jobs import Generation, PictureRequest, Result, State
from app.generation.ledger import MAX_EXPIRED, Ledger
from app.generation.runner import Runner, Timing
from app.generation.saving import AddToLibrary, Saving
from app.generation.turns import Turns
from app.http.ranges import ByteRange
from app.models.checkpoint import DEMO_MODEL
from app.models.generator.base import Abilities
from app.models.generator.folder import DEMO_FOLDER
from app.settings import GenerationSettings
from app.storage.base import ObjectInfo

log = logging.getLogger(__name__)

PART_BYTES: Final = 1 << 20
"""Read at once of a result."""

DAY_S: Final = 86_400

LEAST_KEEP_S: Final = 3600
"""Results can be fetched for at least so long."""

STOP_S: Final = 4.0
"""How long the service waits at its end for a job to go back into the queue."""


@dataclass(frozen=True, slots=True)
class Status:
    """Whether pictures are generated here, and how much there is to do."""

    model: str | None
    waiting: int
    is_drawing: bool
    """Whether this replica draws one now."""
    is_loaded: bool
    """Whether its model is in memory."""
    abilities: Abilities | None
    """None until it is known what the model can draw."""
    limits: GenerationSettings


class Generations:
    """Accepts, runs, follows and cancels jobs that draw pictures. For one event loop."""

    def __init__(
        self,
        settings: GenerationSettings,
        intake: Intake,
        ledger: Ledger,
        device: Device,
        *,
        add_to_library: AddToLibrary,
        check_folder: CheckFolder,
        workers: Workers,
        timing: Timing | None = None,
    ) -> None:
        """`workers` wait for the store."""
        self._settings = settings
        self._intake = intake
        self._ledger = ledger
        self._device = device
        self._check_folder = check_folder
        self._workers = workers
        self._timing = timing or Timing()
        self._board = Board()
        self._turns = Turns(settings.max_queue, self._timing.lease_s)
        self._saving = Saving(ledger, workers, add_to_library)
        self._runner = Runner(
            ledger,
            device,
            self._board,
            self._turns,
            self._saving,
            workers=workers,
            timing=self._timing,
            idle_s=settings.idle_s,
        )
        self._arriving = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def model_name(self) -> str | None:
        """The generator's name as clients may know it, without loading it; None where nothing is generated."""
        model = self._settings.model
        if not model:
            return None
        if model == DEMO_MODEL:
            return DEMO_FOLDER.name
        return Path(model).expanduser().resolve().name if _is_path(model) else model

    @property
    def worker_pid(self) -> int | None:
        """The process that draws; None while there is none."""
        return self._device.pid

    async def why_not(self) -> str | None:
        """Why this service draws nothing, and what to set; None where it does."""
        try:
            await self._intake.check_ready()
        except (NotConfigured, NotInstalled) as error:
            return str(error)
        return None

    def status(self) -> Status:
        return Status(
            self.model_name,
            self._turns.waiting,
            is_drawing=self._runner.is_busy,
            is_loaded=self._device.pid is not None,
            abilities=self._runner.abilities or self._intake.abilities,
            limits=self._settings,
        )

    async def run(self) -> None:
        """Begin to draw what waits, and to remove old results. Does nothing without GENERATION_MODEL."""
        if self._settings.model:
            self._tasks = [
                asyncio.create_task(self._runner.run(), name="generations"),
                asyncio.create_task(self._expire(), name="old generations"),
            ]

    async def start(
        self, request: PictureRequest, seen: View | None, caller: str, *, upload: bytes | None = None
    ) -> Generation:
        """Accept a job, which then survives a restart. `seen` is what the caller may see; None: everything.

        `caller` tells callers apart (`app.generation.routes.Caller`): each has its turn. `upload` is a picture file
        that the drawing begins from, instead of `request.init_image_id`.

        Raises NotConfigured and NotInstalled where this service draws nothing, InvalidInput naming the limit,
        ContentRefused, Overloaded when the queue is full, ImageNotFound, FolderNotFound, what decoding raises, and
        StorageUnavailable.
        """
        if self._stopping:
            raise Unavailable("The service is stopping and draws nothing more. Ask again when it is back.")
        await self._intake.check_ready()
        with self._room_for(caller):
            self._intake.abilities = self._runner.abilities or self._intake.abilities
            generation, first = await self._intake.accept(request, seen, caller, upload)
            entry = await self._workers.run(self._ledger.add, generation, first)
        self._turns.add(entry)
        self._board.post(generation)
        self._runner.wake()
        return generation

    async def get(self, generation_id: str, seen: View | None = None) -> Generation:
        """The job as it is now. Raises JobNotFound, also for one whose folders the caller can't see."""
        found = self._board.running(generation_id)
        if found is None:
            found = await self._workers.run(self._ledger.find, generation_id)
        folders = (found.init_folder, found.request.save_to_folder)
        if seen is not None and not all(folder is None or seen.shows(folder) for folder in folders):
            raise JobNotFound(f"No generation has the id {generation_id!r}.")
        return found

    async def watch(self, generation_id: str, seen: View | None = None) -> AsyncIterator[Generation]:
        """The job as it is now, then after each change, to its end or the service's. Raises JobNotFound."""
        last: Generation | None = None
        while True:
            bell = self._board.bell(generation_id)
            now = await self.get(generation_id, seen)
            if now != last:
                yield now
            if now.is_over or self._stopping:
                return
            last = now
            await bell.wait(self._timing.watch_s)

    async def wait(self, generation_id: str, seen: View | None = None) -> Generation:
        """The job when it is over. Raises JobNotFound, and Unavailable when the service stops before."""
        async for now in self.watch(generation_id, seen):
            if now.is_over:
                return now
        raise Unavailable("The service is stopping. It draws the picture when it is back.")

    async def cancel(self, generation_id: str, seen: View | None = None) -> Generation:
        """End a job: one that waits at once, a running one after its step. One that is over stays as it is."""
        now = await self.get(generation_id, seen)
        if now.is_over:
            return now
        ended = await self._workers.run(self._ledger.end, now.ended(State.CANCELLED, time.time()))
        await self._runner.drop(generation_id)
        return ended

    async def picture(self, generation_id: str, number: int, seen: View | None = None) -> ObjectInfo:
        """The file of a result, by its number from 1. Raises JobNotFound, ImageNotFound."""
        result_of(await self.get(generation_id, seen), number)
        return await self._workers.run(self._ledger.picture, generation_id, number)

    async def read(self, info: ObjectInfo, part: ByteRange | None = None) -> AsyncIterator[bytes]:
        """The file of a result, or a part of it, in chunks. Raises ObjectNotFound."""
        part = part or ByteRange(0, info.size_bytes)
        for start in range(part.start, part.end, PART_BYTES):
            length = min(PART_BYTES, part.end - start)
            yield await self._workers.run(self._ledger.read, info.key, start, length)

    async def png(self, generation_id: str, number: int, seen: View | None = None) -> bytes:
        """The whole file of a result. Raises as `picture`."""
        result_of(await self.get(generation_id, seen), number)
        return await self._workers.run(self._ledger.png, generation_id, number)

    async def save(
        self, generation_id: str, folder: str, numbers: Sequence[int] | None, seen: View | None = None
    ) -> Generation:
        """Put results into a folder of the library and into the index. `numbers` None: all of them.

        Raises JobNotFound, Conflict while the job runs, ImageNotFound, and what adding a picture raises.
        """
        now = await self.get(generation_id, seen)
        if not now.is_over:
            raise Conflict("The pictures are not all drawn yet. Save them when the job is over.")
        folder = self._check_folder(folder, seen)
        chosen = now.results if numbers is None else [result_of(now, number) for number in numbers]
        saved = {result.number: result for result in await self._saving.save(now, folder, chosen)}

        def with_places(job: Generation) -> Generation:
            return replace(job, results=tuple(saved.get(result.number, result) for result in job.results))

        return await self._workers.run(self._ledger.change, generation_id, with_places)

    def begin_stop(self) -> None:
        """Draw nothing more: the worker ends at once, and its job goes back into the queue."""
        if not self._stopping:
            self._stopping = True
            self._device.close()
            for task in self._tasks:
                task.cancel()
            self._board.ring_all()

    async def stop(self) -> None:
        self.begin_stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)
        await self._device.unload()

    @contextmanager
    def _room_for(self, caller: str) -> Iterator[None]:
        """Keeps a place in the queue for a job that is being accepted. Raises Overloaded."""
        self._turns.check_room(caller, self._arriving, retry_after_s=round(min(max(self._runner.job_s, 1), 60)))
        self._arriving += 1
        try:
            yield
        finally:
            self._arriving -= 1

    async def _expire(self) -> None:
        keep_s = max(self._settings.keep_days * DAY_S, LEAST_KEEP_S)
        while True:
            try:
                while await self._workers.run(self._ledger.expire, time.time() - keep_s) == MAX_EXPIRED:
                    pass
            except Exception:  # it is tried again the next time
                log.exception("Old generated pictures could not be removed.")
            await asyncio.sleep(self._timing.expire_s)


def result_of(generation: Generation, number: int) -> Result:
    """Raises ImageNotFound."""
    for result in generation.results:
        if result.number == number:
            return result
    raise ImageNotFound(f"The generation {generation.id} has no picture {number}. It has {len(generation.results)}.")


def _is_path(model: str) -> bool:
    return model.startswith(("/", ".", "~")) or Path(model).is_dir()
