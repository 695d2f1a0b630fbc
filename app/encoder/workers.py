"""A bounded number of threads for blocking work, with a bounded queue in front."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

from app.errors import Overloaded

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class Workers:
    """At most `threads` calls run at a time and `max_waiting` wait; more are refused with `Overloaded`."""

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")
        self._threads = threads
        self._max_waiting = max_waiting
        self._accepted: set[Future[Any]] = set()
        """Calls that run or wait. Threads take theirs out, which a set lets them do without a lock."""

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return max(0, len(self._accepted) - self._threads)

    async def run(self, call: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        """What `call(*arguments)` returns or raises, off the event loop.

        A caller that is cancelled leaves at once. A call that has begun goes on and keeps its thread: nothing can end a
        read from a storage that does not answer, and the service does not wait for it at shutdown.
        """
        if self.waiting >= self._max_waiting:
            raise Overloaded("Too many requests are waiting. Try again in a moment.")
        accepted = self._pool.submit(partial(copy_context().run, call, *arguments))
        self._accepted.add(accepted)
        accepted.add_done_callback(self._accepted.discard)
        return await asyncio.wrap_future(accepted)

    async def iterate(self, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks one by one. A slow consumer holds no thread."""
        while (chunk := await self.run(next, chunks, None)) is not None:
            yield chunk

    def close(self) -> None:
        """Take no more calls. Idle threads end; a call that has begun goes on."""
        self._pool.shutdown(wait=False)
