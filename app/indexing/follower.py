"""The service's watch on the published index, and what this feature's routes get."""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass

import anyio
import anyio.to_thread

from app.catalog.live import LiveCatalog
from app.catalog.view import EVERYWHERE, View
from app.encoder.encoder import Encoder
from app.indexing.jobs import IndexJobs

log = logging.getLogger(__name__)


class IndexFollower:
    """Loads the newest generation every `poll_s` seconds, and at once when asked."""

    def __init__(self, live: LiveCatalog, poll_s: float) -> None:
        self._live = live
        self._poll_s = poll_s
        self._limiter = anyio.CapacityLimiter(1)
        self._task: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str | None:
        """As `LiveCatalog.problem`."""
        return self._live.problem

    def view(self, folders: Collection[str] = EVERYWHERE) -> View:
        """The index as it is served now, narrowed to `folders`. Raises IndexNotReady."""
        return View(self._live.current, folders)

    async def refresh(self) -> None:
        """Look for a newer generation now, off the event loop. Does not wait for the storage when it is cancelled."""
        await anyio.to_thread.run_sync(self._live.refresh, limiter=self._limiter, abandon_on_cancel=True)

    async def start(self) -> None:
        """Load the published generation, then keep looking for newer ones."""
        await self.refresh()
        self._task = asyncio.create_task(self._poll(), name="index follower")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.refresh()
            except Exception:  # A bug in a refresh must not end the watch. The last good generation is still served.
                log.exception("The index could not be refreshed; trying again in %s s.", self._poll_s)


@dataclass(frozen=True)
class Indexing:
    """The state of the index, and the runs that change it. Made once at start-up."""

    jobs: IndexJobs
    follower: IndexFollower
    encoder: Encoder
    vector_engine: str
    """What searches the vectors: `faiss`, `milvus`, `chroma`."""
    can_caption: bool = False
    """Whether CAPTION_MODEL names a model."""
