"""The jobs of this process as they are now, and bells for those who watch them."""

import asyncio
from dataclasses import dataclass, field

from app.generation.jobs import Generation


@dataclass(eq=False)
class Bell:
    """Rings once, when this process changes the job."""

    is_running: bool = False
    """Whether this process runs the job: then it hears of every change."""
    _event: asyncio.Event = field(default_factory=asyncio.Event)

    def ring(self) -> None:
        self._event.set()

    async def wait(self, timeout_s: float) -> None:
        """Wait for the change; at most `timeout_s` where others may change the job too."""
        try:
            async with asyncio.timeout(None if self.is_running else timeout_s):
                await self._event.wait()
        except TimeoutError:
            return


class Board:
    """Holds the jobs that this process has accepted or runs, until they are over. For one event loop."""

    def __init__(self) -> None:
        self._jobs: dict[str, Generation] = {}
        self._bells: dict[str, Bell] = {}

    @property
    def ids(self) -> list[str]:
        return list(self._jobs)

    def post(self, generation: Generation, *, is_running: bool = False) -> None:
        """Show a job as it is now, which is not over."""
        before = self._bells.get(generation.id)
        self._jobs[generation.id], self._bells[generation.id] = generation, Bell(is_running)
        if before:
            before.ring()

    def remove(self, generation_id: str) -> None:
        """The job is over, or another process runs it: the bucket has the truth."""
        self._jobs.pop(generation_id, None)
        if bell := self._bells.pop(generation_id, None):
            bell.ring()

    def running(self, generation_id: str) -> Generation | None:
        """The job as it is now, if this process runs it."""
        bell = self._bells.get(generation_id)
        return self._jobs[generation_id] if bell and bell.is_running else None

    def bell(self, generation_id: str) -> Bell:
        """Take it before the job is looked at, so that no change is missed."""
        return self._bells.get(generation_id) or Bell()

    def ring_all(self) -> None:
        for bell in self._bells.values():
            bell.ring()
