"""A bounded number of threads for blocking work, with a bounded queue in front."""

from collections.abc import AsyncIterator, Callable, Iterator
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
        self._max_waiting = max_waiting

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return self._limiter.statistics().tasks_waiting

    async def run(self, call: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        """What `call(*arguments)` returns or raises, off the event loop."""
        if self.waiting >= self._max_waiting:
            raise Overloaded("Too many requests are waiting. Try again in a moment.")
        return await anyio.to_thread.run_sync(call, *arguments, limiter=self._limiter)

    async def iterate(self, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks one by one. A slow consumer holds no thread."""
        while (chunk := await self.run(next, chunks, None)) is not None:
            yield chunk
