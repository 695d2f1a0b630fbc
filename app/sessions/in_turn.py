"""Requests to one session take turns: the second one works on what the first one has left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from app.errors import Overloaded

MAX_WAITING: Final = 32
"""Of one session."""


class _Queue:
    def __init__(self) -> None:
        self.lock, self.length = asyncio.Lock(), 0


class InTurn:
    """One queue a session, which exists while a request waits in it. For one event loop."""

    def __init__(self) -> None:
        self._queues: WeakValueDictionary[str, _Queue] = WeakValueDictionary()

    @asynccontextmanager
    async def wait_for(self, session_id: str) -> AsyncIterator[None]:
        """Raises Overloaded where too many wait."""
        queue = self._queues.get(session_id) or self._queues.setdefault(session_id, _Queue())
        if queue.length >= MAX_WAITING:
            raise Overloaded("Too many requests wait for this session. Send them one after the other.")
        queue.length += 1
        try:
            async with queue.lock:
                yield
        finally:
            queue.length -= 1
