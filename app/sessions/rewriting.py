"""The rewriter for many callers: off the event loop, each call in bounded time, unloaded when it has been idle."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from app.encoder.workers import Workers
from app.errors import AppError, RewriteFailed, Unavailable
from app.models.lazy import Lazy
from app.models.rewriter.base import Conversation, Deadline, Rewriter

log = logging.getLogger(__name__)

STOPPING: Final = "The service is stopping and rewrites no more queries."


class Rewriting:
    """As `ports.Rewrite`. For one event loop."""

    def __init__(
        self, lazy: Lazy[Rewriter], *, timeout_s: float, idle_s: float, max_waiting: int, threads: int
    ) -> None:
        """`threads` may use the rewriter at the same time. The time to load it counts as well."""
        self._lazy, self._timeout_s, self._idle_s = lazy, timeout_s, idle_s
        self._worker = Workers(threads, max_waiting)
        self._callers = 0
        self._idle: asyncio.TimerHandle | None = None
        self._unloading: asyncio.Task[None] | None = None
        self._stopping = False

    async def __call__(self, query: str, feedback: Sequence[str], captions: Sequence[str]) -> str:
        """One caption-like query.

        Raises RewriteFailed, also after `timeout_s`; Overloaded, Unavailable after `stop`, ModelUnavailable.
        """
        if self._stopping:
            raise Unavailable(STOPPING)
        self._begin()
        try:
            return await self._rewrite(Conversation(query, tuple(feedback), tuple(captions)))
        except AppError as error:
            log.warning("A query was not rewritten: %s", error)
            raise
        except Exception as error:
            log.exception("The rewriter failed")
            raise RewriteFailed("The rewriter failed. The log says how.") from error
        finally:
            self._end()

    async def stop(self) -> None:
        """Take no more, and close the model. Calls that still run have no callers any more and end soon."""
        self._stopping = True
        if self._idle:
            self._idle.cancel()
        if self._unloading:
            await asyncio.wait([self._unloading])
        if self._lazy.loaded:
            await self._worker.run(self._forget)
        self._worker.close()

    async def _rewrite(self, conversation: Conversation) -> str:
        deadline = Deadline(self._timeout_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._worker.run(self._run, conversation, deadline)
        except TimeoutError as error:
            doing = "worked" if self._lazy.loaded else "was being loaded"
            raise RewriteFailed(f"The rewriter {doing} for longer than {self._timeout_s:g} s.") from error
        finally:
            deadline.end()  # also where the caller has gone

    def _run(self, conversation: Conversation, deadline: Deadline) -> str:
        rewriter = self._lazy.model
        if deadline.is_over:
            raise RewriteFailed("The time was over before the rewriter began.")
        return rewriter.rewrite(conversation, deadline)

    def _begin(self) -> None:
        self._callers += 1
        if self._idle:
            self._idle.cancel()

    def _end(self) -> None:
        self._callers -= 1
        if not self._callers and not self._stopping:
            self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._unload)

    def _unload(self) -> None:
        log.info("The rewriter was idle for %g s and is unloaded.", self._idle_s)
        self._unloading = asyncio.create_task(self._worker.run(self._forget), name="rewriter unloading")

    def _forget(self) -> None:
        if rewriter := self._lazy.forget():
            rewriter.close()
