"""Draws the jobs of the queue, one after the other, and tells the bucket and the watchers how far each one is."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar, TypeVarTuple

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from app.encoder.workers import Workers
from app.errors import AppError, Overloaded, StorageUnavailable
from app.generation.board import Board
from app.generation.device import Device, WorkerEnded
from app.generation.jobs import Generation, Phase, Progress, Result, State
from app.generation.ledger import Entry, Held, Ledger, Lost
from app.generation.messages import Begun, Cancelled, Draw, Drawn, Failed, Finished, FromWorker, Step
from app.generation.saving import Saving
from app.generation.turns import Turns
from app.http.problems import reason_of
from app.models.generator.base import Abilities

log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 3
"""Replicas that begin a job. One that ends them all must not end the others too."""

RETRY_S: Final = 2.0
PATIENCE_S: Final = 60.0
"""For so long the storage may fail while a job runs."""

RELEASE_S: Final = 2.0
"""For putting a job back into the queue when the service stops. After it, the job waits for its lease to end."""

STEP_S: Final = 60.0
"""How long a cancelled job's step may go on until its worker is killed."""

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds between what is done again and again."""

    beat_s: float = 2.0
    """Between two signs of life of a running job."""
    lease_s: float = 15.0
    """A job without sign of life for this long is taken over."""
    poll_s: float = 5.0
    """Between two looks for jobs that other replicas have accepted or left."""
    watch_s: float = 1.0
    """Between two looks at a job of another replica that is watched."""
    expire_s: float = 3600.0
    """Between two looks for old results."""


@dataclass(eq=False)
class _Running:
    """The job that is drawn now."""

    held: Held
    generation: Generation
    is_lost: bool = False
    """It was cancelled, or another replica has taken it over: what comes out does not count."""
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Runner:
    """Runs one job at a time. For one event loop."""

    def __init__(
        self,
        ledger: Ledger,
        device: Device,
        board: Board,
        turns: Turns,
        saving: Saving,
        *,
        workers: Workers,
        timing: Timing,
        idle_s: float,
    ) -> None:
        self._ledger = ledger
        self._device = device
        self._board = board
        self._turns = turns
        self._saving = saving
        self._workers = workers
        self._timing = timing
        self._idle_s = idle_s
        self._woken = asyncio.Event()
        self._job: _Running | None = None
        self.abilities: Abilities | None = None
        """What the model can draw, once it was loaded."""
        self.job_s = 5.0
        """How long the last job took."""

    @property
    def is_busy(self) -> bool:
        """Whether a job is being drawn here."""
        return self._job is not None

    def wake(self) -> None:
        """There is a new job."""
        self._woken.set()

    async def drop(self, generation_id: str) -> None:
        """A job is over although it may be running here: its picture is not finished."""
        self._turns.discard(generation_id)
        self._board.remove(generation_id)
        if self._job is not None and self._job.generation.id == generation_id:
            self._job.is_lost = True
            asyncio.get_running_loop().call_later(STEP_S, self._kill_if_stuck, self._job)
            await self._device.cancel(generation_id)

    def _kill_if_stuck(self, job: _Running) -> None:
        if self._job is job:
            log.warning("The step of a cancelled generation does not end. Its worker is killed.")
            self._device.kill_worker()

    async def run(self) -> None:
        """Draw what waits, until this task is cancelled."""
        while True:
            self._woken.clear()
            try:
                entry = await self._next()
                if entry is not None:
                    await self._run(entry)
                    continue
            except AppError as error:
                log.warning("Pictures can't be drawn for the moment: %s", error)
            except Exception:
                log.exception("A generation was lost. It is tried again.")
            await self._rest()

    async def _rest(self) -> None:
        """Until there is a new job, or it is time to look for one. A model that is idle is unloaded."""
        left_s = self._device.idle_since + self._idle_s - time.monotonic()
        if self._device.pid is not None and left_s <= 0:
            log.info("The generator was idle for %g s and is unloaded.", self._idle_s)
            await self._device.unload()
        loaded = self._device.pid is not None
        await _happens(self._woken, min(self._timing.poll_s, left_s) if loaded else self._timing.poll_s)

    async def _next(self) -> Entry | None:
        self._turns.begin_listing()
        self._turns.replace(await self._workers.run(self._ledger.entries))
        for generation_id in self._board.ids:
            if generation_id not in self._turns:
                self._board.remove(generation_id)  # another replica has ended it
        return self._turns.next()

    async def _run(self, entry: Entry) -> None:
        held = await self._workers.run(self._ledger.claim, entry)
        if held is None:
            self._turns.discard(entry.id)
            return
        self._turns.add(held.entry)
        job = self._job = _Running(held, held.generation)
        beat = asyncio.create_task(self._beat(job), name="generation beat")
        began = time.monotonic()
        try:
            await self._draw(job)
        except asyncio.CancelledError:
            await self._release(job, beat)
            raise
        finally:
            self._job = None
            job.done.set()
            self._turns.discard(entry.id)
            self._board.remove(entry.id)
        await beat
        self.job_s = time.monotonic() - began

    async def _draw(self, job: _Running) -> None:
        """From the claim to the outcome."""
        self._show(job, job.generation)
        log.info("Generation %s begins.", job.generation.id)
        outcome = await self._outcome(job)
        if job.is_lost:
            return
        outcome = await self._surely(self._ledger.end, outcome)
        log.info("Generation %s %s.", outcome.id, outcome.state)

    async def _outcome(self, job: _Running) -> Generation:
        try:
            failed = await self._follow(job)
        except WorkerEnded as ended:
            failed = Failed(str(ended))
        except (StorageUnavailable, Overloaded):
            raise
        except AppError as error:
            failed = Failed(reason_of(error))
        if failed is not None:
            return job.generation.ended(State.FAILED, time.time(), failed.reason, is_refused=failed.is_refused)
        if job.generation.request.save_to_folder is not None and not job.is_lost:
            await self._save(job, job.generation.request.save_to_folder)
        return job.generation.ended(State.SUCCEEDED, time.time())

    async def _follow(self, job: _Running) -> Failed | None:
        """Let the worker draw the job. Returns why it failed; None if it did not."""
        generation, request = job.generation, job.generation.request
        if job.held.attempt > MAX_ATTEMPTS:
            return Failed(f"It was begun {MAX_ATTEMPTS} times, and each time the service ended before it was done.")
        first = await self._surely(self._ledger.first, generation.id) if generation.has_first else None
        failed: Failed | None = None
        async with aclosing(self._device.draw(Draw(generation.id, request, request.seed or 0, first))) as messages:
            async for message in messages:
                if isinstance(message, Failed):
                    failed = message
                elif not job.is_lost:
                    await self._note(job, message)
        return failed

    async def _note(self, job: _Running, message: FromWorker) -> None:
        now = job.generation
        progress = now.progress or Progress()
        match message:
            case Begun(model, abilities, parameters):
                self.abilities = abilities
                progress = Progress(Phase.DRAWING, steps=parameters.steps)
                self._show(job, replace(now, model=model, parameters=parameters, progress=progress))
            case Step(number, step, steps, preview):
                shown = preview or (progress.preview if progress.picture == number else None)
                self._show(job, replace(now, progress=Progress(Phase.DRAWING, number, step, steps, shown)))
            case Drawn(number, seed, width, height, png):
                await self._surely(self._ledger.put_picture, now.id, number, png)
                result = Result(number, seed, width, height, len(png))
                self._show(job, replace(job.generation, results=(*now.results, result)))
            case Finished() | Cancelled():
                pass

    async def _save(self, job: _Running, folder: str) -> None:
        progress = replace(job.generation.progress or Progress(), phase=Phase.SAVING, preview=None)
        self._show(job, replace(job.generation, progress=progress))
        saved = await self._saving.try_save(job.generation, folder, job.generation.results)
        self._show(job, replace(job.generation, results=tuple(saved)))

    def _show(self, job: _Running, generation: Generation) -> None:
        job.generation = generation
        if not job.is_lost:
            self._board.post(generation, is_running=True)

    async def _beat(self, job: _Running) -> None:
        """Say that this replica lives and how far the job is, until it is done."""
        while not await _happens(job.done, self._timing.beat_s):
            try:
                held = replace(job.held, generation=job.generation)
                job.held = await self._workers.run(self._ledger.renew, held)
            except Lost:
                log.info("Generation %s was cancelled, or another replica has it now.", job.generation.id)
                await self.drop(job.generation.id)
                return
            except AppError as error:
                log.warning("Generation %s could give no sign of life: %s", job.generation.id, error)

    async def _release(self, job: _Running, beat: "asyncio.Task[None]") -> None:
        """The service stops: the job goes back into the queue, and another replica may take it at once."""
        job.done.set()
        with suppress(TimeoutError, AppError, Lost):
            async with asyncio.timeout(RELEASE_S):
                await beat
                if not job.is_lost:
                    await self._workers.run(self._ledger.release, job.held)
                    log.info("Generation %s goes back into the queue.", job.generation.id)

    async def _surely(self, call: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        """What the call returns; tried again for a while when the storage does not answer."""
        patiently = AsyncRetrying(
            retry=retry_if_exception_type((StorageUnavailable, Overloaded)),
            wait=wait_fixed(RETRY_S),
            stop=stop_after_delay(PATIENCE_S),
            reraise=True,
        )
        async for attempt in patiently:
            with attempt:
                return await self._workers.run(call, *arguments)
        raise AssertionError("unreachable")


async def _happens(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for the event, at most so long. Returns whether it is there."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, timeout_s)):
            await event.wait()
    return event.is_set()
