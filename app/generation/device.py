"""The one worker process that draws for this service: started for the first job, ended when it has been idle.

A worker that ends in the middle of a job fails that job. The next one gets a new worker.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.generation.messages import HEAD, Cancel, Cancelled, Draw, Failed, Finished, FromWorker, ToWorker, pack, unpack

log = logging.getLogger(__name__)

ROOT: Final = Path(__file__).parents[2]
"""Where `app` can be imported from."""

PROGRAM: Final = "import sys; from app.generation.worker import main; main(int(sys.argv[1]))"
"""Not `-m`, which would call the module `__main__`, and its messages too."""

COMMAND: Final = (sys.executable, "-P", "-c", PROGRAM)
"""The number of its socket follows."""

END_S: Final = 5.0
"""How long a worker may take to end once its socket is closed."""


class WorkerEnded(Exception):
    """The worker ended in the middle of a job. The message says why, as clients may know it."""


class Device:
    """Draws one job at a time. For one event loop."""

    def __init__(self, environment: Mapping[str, str], command: Sequence[str] = COMMAND) -> None:
        """`environment`: the worker's settings, besides this process's own environment."""
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._environment = {**os.environ, **environment, "PYTHONPATH": path}
        self._command = tuple(command)
        self._worker: _Worker | None = None
        self._is_closed = False
        self.idle_since = time.monotonic()

    @property
    def pid(self) -> int | None:
        """The worker's process id; None while there is none."""
        return self._worker.pid if self._worker and self._worker.is_alive else None

    async def draw(self, order: Draw) -> AsyncGenerator[FromWorker, None]:
        """What the worker tells of the job, up to `Finished`, `Failed` or `Cancelled`. Raises WorkerEnded."""
        is_begun = False
        while not is_begun:
            is_new = self._worker is None or not self._worker.is_alive
            worker = await self._living_worker()
            try:
                await worker.send(order)
                async for message in worker.messages():
                    is_begun = True
                    yield message
                self.idle_since = time.monotonic()
            except WorkerEnded:
                if is_new or is_begun or self._is_closed:
                    raise
                log.info("The idle generation worker had ended. A new one takes the job.")
            except BaseException:
                worker.kill()  # it is in the middle of a job whose caller has gone
                raise

    async def cancel(self, job_id: str) -> None:
        """End a job after the step that is being taken."""
        if self._worker is not None:
            with suppress(WorkerEnded):
                await self._worker.send(Cancel(job_id))

    async def unload(self) -> None:
        """End the worker, which frees the model's memory. Not during a job."""
        if self._worker is not None:
            await self._worker.end()
            self._worker = None

    def kill_worker(self) -> None:
        """End the worker at once. The next job gets a new one."""
        if self._worker is not None:
            self._worker.kill()

    def close(self) -> None:
        """End the worker at once, for good."""
        self._is_closed = True
        self.kill_worker()

    async def _living_worker(self) -> "_Worker":
        if self._worker is None or not self._worker.is_alive:
            await self.unload()
            if self._is_closed:
                raise WorkerEnded("The service is stopping.")
            self._worker = await _Worker.start(self._command, self._environment)
        return self._worker


class _Worker:
    """One process of `app.generation.worker`."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str]) -> "_Worker":
        """Raises WorkerEnded when it can't be started."""
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    str(theirs.fileno()),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    env=environment,
                )
            except BaseException as error:
                writer.close()
                if not isinstance(error, OSError):
                    raise
                log.error("The generation worker could not be started: %s", error)
                raise WorkerEnded("The generation worker could not be started. The service's log says why.") from error
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def send(self, message: ToWorker) -> None:
        """Raises WorkerEnded."""
        try:
            self._writer.write(pack(message))
            await self._writer.drain()
        except OSError:
            raise await self._ended() from None

    async def messages(self) -> AsyncGenerator[FromWorker, None]:
        """The messages of one job, to its last one. Raises WorkerEnded."""
        while True:
            message = await self._receive()
            yield message
            if isinstance(message, Finished | Failed | Cancelled):
                return

    async def _receive(self) -> FromWorker:
        try:
            (length,) = HEAD.unpack(await self._reader.readexactly(HEAD.size))
            message: FromWorker = unpack(await self._reader.readexactly(length))  # type: ignore[assignment]
        except (EOFError, OSError):
            raise await self._ended() from None
        return message

    async def _ended(self) -> WorkerEnded:
        await self.end()
        return WorkerEnded(_why(self._process.returncode or 0))

    async def end(self) -> None:
        """Close its socket, at which it ends."""
        self._writer.close()
        try:
            async with asyncio.timeout(END_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()


def _why(code: int) -> str:
    if code == -signal.SIGKILL:
        return "The process that draws was killed, perhaps because memory ran out. Ask for a smaller picture."
    if code < 0:
        return f"The process that draws crashed ({signal.Signals(-code).name}). The service's log may say more."
    return f"The process that draws ended with exit code {code}. The service's log says more."
