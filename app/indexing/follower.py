"""The service's watch on the published index."""

import asyncio
import logging

import anyio
import anyio.to_thread

from app.catalog.live import LiveCatalog

log = logging.getLogger(__name__)


class IndexFollower:
    """Refreshes the live catalog every `poll_s` seconds, and at once when asked."""

    def __init__(self, live: LiveCatalog, poll_s: float) -> None:
        self._live = live
        self._poll_s = poll_s
        self._limiter = anyio.CapacityLimiter(1)
        self._task: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Look for a newer generation now, off the event loop."""
        await anyio.to_thread.run_sync(self._live.refresh, limiter=self._limiter)

    async def start(self) -> None:
        """Load what there is, then keep looking."""
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
            except Exception:  # A bug met while refreshing must not end the watch; the last good snapshot is served.
                log.exception("The index could not be refreshed; trying again in %s s.", self._poll_s)
