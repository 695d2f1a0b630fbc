"""Imports: many pictures at once, from sent files, addresses on the web or a web search, as a job that can be followed.

Each picture is read or fetched, then added as `Adding` adds any other; pictures that fail cost the others nothing. When
the service stops or an import is cancelled, pictures that are being added are finished, and the job says which
ones were left.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random
from tenacity.wait import wait_exception

from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import AppError, FetchFailed, ImageTooLarge, InvalidInput, JobNotFound, Overloaded, Unavailable
from app.http.problems import reason_of
from app.ingest.fetching import Fetcher
from app.ingest.web.provider import Provider
from app.library.editing.adding import Added, Adding, NewPicture
from app.library.imports.job import (
    WHY_LEFT,
    Address,
    Import,
    ImportState,
    Item,
    Origin,
    Outcome,
    SentFile,
    WebQuery,
)
from app.settings import ImportSettings
from app.types import Source

log = logging.getLogger(__name__)

RUNNING: Final = 4
"""Imports at the same time."""

AT_ONCE: Final = 8
"""Pictures of one import that are read, fetched or added at the same time; one journal may take all of them."""

HISTORY: Final = 50
"""Imports that are remembered, the running ones included."""

ATTEMPTS: Final = 5
"""Tries of fetching or adding one picture while too many others wait, here or at its server."""

BUSY_WAIT_S: Final = 1.0
"""Before the next try while too many others wait here. A part of it is left to chance."""

PATIENCE_S: Final = 30
"""The longest wait that a server may ask for before the next try."""

_OUR_FAULT: Final = "Something went wrong on our side. The log says what."


class Imports:
    """Starts, remembers and stops imports. For one event loop."""

    def __init__(
        self,
        adding: Adding,
        fetcher: Fetcher,
        find_provider: Callable[[str], Provider],
        settings: ImportSettings,
        *,
        workers: Workers,
        max_bytes: int,
        offered: Collection[str] = (),
    ) -> None:
        """`find_provider` by its name; `workers` read sent files, of which each has at most `max_bytes`.

        `offered` are the providers that clients of the service may search.
        """
        self._adding = adding
        self._fetcher = fetcher
        self._find_provider = find_provider
        self._settings = settings
        self._workers = workers
        self._max_bytes = max_bytes
        self._offered = offered
        self._imports: dict[str, Import] = {}
        self._tasks: dict[asyncio.Task[None], Import] = {}
        self._receiving = 0
        self._stopping = False

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Keeps room for an import whose files still come. Raises Overloaded without room, Unavailable after `stop`."""
        self._check_room(self._receiving)
        self._receiving += 1
        try:
            yield
        finally:
            self._receiving -= 1

    def check_provider(self, name: str) -> None:
        """Raises InvalidInput where clients of the service may not search there."""
        if name not in self._offered:
            raise InvalidInput(
                f"This service searches no pictures by {name}. Its operator can allow it with WEB_PROVIDERS={name}."
            )

    def start(self, origins: Sequence[Origin] | WebQuery, folder: str, seen: View | None = None) -> Import:
        """Begin to add these pictures to the folder, for a caller that sees `seen`; None: everything.

        Raises InvalidInput, FolderNotFound, and as `receiving`.
        """
        self._check_room()
        folder = self._adding.check_folder(folder, seen)
        if not isinstance(origins, WebQuery) and len(origins) > self._settings.max_pictures:
            raise InvalidInput(
                f"{len(origins):,} pictures are too many for one import. Send at most {self._settings.max_pictures:,}, "
                "and the others with the next one."
            )
        job = Import.of(origins, folder)
        self._imports[job.id] = job
        while len(self._imports) > HISTORY:
            del self._imports[next(iter(self._imports))]
        task = asyncio.create_task(self._run(job, origins, seen), name=f"import {job.id}")
        self._tasks[task] = job
        task.add_done_callback(self._tasks.pop)
        return job

    def _check_room(self, receiving: int = 0) -> None:
        if self._stopping:
            raise Unavailable("The service is stopping and starts no import. Ask again when it is back.")
        if sum(not each.is_over for each in self._imports.values()) + receiving >= RUNNING:
            raise Overloaded(f"{RUNNING} imports are running. Start this one when one of them is over.")

    def get(self, import_id: str, seen: View | None = None) -> Import:
        """An import into a folder that the caller sees. Raises JobNotFound."""
        job = self._imports.get(import_id)
        if job is None or (seen is not None and not seen.shows(job.folder)):
            raise JobNotFound(f"No import has the id {import_id!r}; the last {HISTORY} are remembered.")
        return job

    async def cancel(self, import_id: str, seen: View | None = None) -> Import:
        """Read and fetch no further pictures of an import, and wait for those that are being added.

        One that is over stays as it is. Raises JobNotFound.
        """
        job = self.get(import_id, seen)
        job.cut(ImportState.CANCELLED)
        await job.ended()
        return job

    def begin_stop(self) -> None:
        """Read and fetch no further pictures."""
        self._stopping = True
        for job in self._tasks.values():
            job.cut(ImportState.STOPPED)

    async def stop(self) -> None:
        """Finish the pictures that are being added, and leave the others."""
        self.begin_stop()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, job: Import, origins: Sequence[Origin] | WebQuery, seen: View | None) -> None:
        state, error = ImportState.FAILED, None
        try:
            if isinstance(origins, WebQuery):
                origins = await self._found(origins, job)
                job.expect(origins)
            await self._add_all(job, origins, seen)
            all_brought = job.items and not job.counts()[Outcome.LEFT]
            state = ImportState.DONE if all_brought or job.cut_as is None else job.cut_as
        except AppError as problem:
            log.warning("Import %s failed: %s", job.id, problem)
            job.cause, error = problem, reason_of(problem)
        except Exception:
            log.exception("Import %s failed.", job.id)
            error = _OUR_FAULT
        finally:
            job.finish(state, error)
            log.info("Import %s %s: %d added.", job.id, job.state, job.counts()[Outcome.ADDED])

    async def _found(self, query: WebQuery, job: Import) -> Sequence[Origin]:
        with job.until_cut():
            found = await self._find_provider(query.provider).find(query.query, query.count)
            return [Address(each.url, each.source) for each in found]
        return []

    async def _add_all(self, job: Import, origins: Sequence[Origin], seen: View | None) -> None:
        left = iter(zip(job.items, origins, strict=True))

        async def add_some() -> None:
            for item, origin in left:
                await self._bring(item, origin, job, seen)
                job.settle(item)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(origins))):
                group.create_task(add_some())

    async def _bring(self, item: Item, origin: Origin, job: Import, seen: View | None) -> None:
        """Read or fetch one picture and add it. Its item says what became of it."""
        new: NewPicture | None = None
        try:
            with job.until_cut():
                new = await _patiently()(self._read, origin, job.folder)
            if new is None:
                item.outcome, item.reason = Outcome.LEFT, WHY_LEFT[job.cut_as or ImportState.STOPPED]
                return
            _note(item, await _patiently()(self._adding.add, new, seen))
        except AppError as error:
            item.outcome = Outcome.FAILED if isinstance(error, Unavailable | FetchFailed) else Outcome.REFUSED
            item.reason = reason_of(error)
            if item.reason != str(error):
                log.warning("A picture of an import could not be added: %s", error)
        except Exception:
            log.exception("A picture of an import could not be added.")
            item.outcome, item.reason = Outcome.FAILED, _OUR_FAULT
        finally:
            if isinstance(origin, SentFile):
                origin.file.close()

    async def _read(self, origin: Origin, folder: str) -> NewPicture:
        match origin:
            case SentFile(name, file):
                return NewPicture(await self._workers.run(self._content, file), name, folder)
            case Address(url, source):
                fetched = await self._fetcher.fetch(url)
                return NewPicture(fetched.data, fetched.name, folder, source or Source(fetched.url))

    def _content(self, file: BinaryIO) -> bytes:
        content = file.read(self._max_bytes + 1)
        if len(content) > self._max_bytes:
            raise ImageTooLarge(f"The file has more than {self._max_bytes:,} bytes. Send a smaller picture.")
        return content


def _patiently() -> AsyncRetrying:
    """Calls that wait where a single request would be refused."""
    return AsyncRetrying(
        retry=retry_if_exception(lambda error: 0 <= _wait_s(error) <= PATIENCE_S),
        wait=wait_exception(_wait_s) + wait_random(0, BUSY_WAIT_S),
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )


def _wait_s(error: BaseException) -> float:
    """After which the same call may work; negative where waiting does not help."""
    match error:
        case Overloaded():
            return BUSY_WAIT_S
        case FetchFailed(retry_after_s=int(seconds)):
            return seconds
        case _:
            return -1


def _note(item: Item, added: Added) -> None:
    item.outcome = Outcome.ADDED if added.is_new else Outcome.PRESENT
    item.image_id, item.object_key = added.record.image_id, added.record.object_key
