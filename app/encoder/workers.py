"""A bounded number of threads for blocking work, with a bounded queue in front."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

from app.errors import Overloaded

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class Workers:
    """At most `threads` calls run at a time and `max_waiting` wait; more are refused with `Overloaded`."""

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._limiter = anyio.CapacityLimiter(threads)
        self._unlimited = anyio.CapacityLimiter(math.inf)
        self._max_waiting = max_waiting

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return self._limiter.statistics().tasks_waiting

    async def run(self, call: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        """What `call(*arguments)` returns or raises, off the event loop.

        A caller that is cancelled leaves at once. Its call goes on and keeps its thread: nothing can end a read from a
        storage that does not answer, and the service does not wait for it at shutdown.
        """
        if self.waiting >= self._max_waiting:
            raise Overloaded("Too many requests are waiting. Try again in a moment.")
        loop, borrower, begun = asyncio.get_running_loop(), object(), threading.Lock()
        await self._limiter.acquire_on_behalf_of(borrower)

        def run() -> _Result:
            if not begun.acquire(blocking=False):
                raise asyncio.CancelledError  # the caller has gone
            try:
                return call(*arguments)
            finally:
                with suppress(RuntimeError):  # the loop is closed: this call was left behind
                    loop.call_soon_threadsafe(self._limiter.release_on_behalf_of, borrower)

        try:
            return await anyio.to_thread.run_sync(run, limiter=self._unlimited, abandon_on_cancel=True)
        finally:
            if begun.acquire(blocking=False):  # cancelled before a thread took the call
                self._limiter.release_on_behalf_of(borrower)

    async def iterate(self, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks one by one. A slow consumer holds no thread."""
        while (chunk := await self.run(next, chunks, None)) is not None:
            yield chunk
