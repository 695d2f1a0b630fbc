"""The services started and, at the end, stopped."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio.to_thread
from threadpoolctl import threadpool_limits

from app.bootstrap.parts import Parts
from app.bootstrap.services import Services, State


@asynccontextmanager
async def running(parts: Parts, *, warm_up: bool = False) -> AsyncIterator[State]:
    """The services over these parts, started. At the end each one finishes what it has accepted, then stops.

    `warm_up` is for a service that stays: see `Encoder.start`, and `Preparing`. Raises ModelUnavailable.
    """
    services = Services(parts, await anyio.to_thread.run_sync(lambda: parts.model.embedder))
    async with AsyncExitStack() as stack:
        # The small products of a search gain nothing by a second core, and wait for milliseconds for one that is busy.
        stack.enter_context(threadpool_limits(1, user_api="blas"))
        stack.callback(services.close_threads)
        await services.encoder.start(warm_up=warm_up)
        stack.push_async_callback(services.encoder.stop)
        await services.follower.start()
        stack.push_async_callback(services.follower.stop)
        if warm_up and parts.settings.search.relevance:
            services.preparing.start()
        stack.push_async_callback(services.preparing.stop)
        stack.push_async_callback(services.jobs.stop)
        stack.push_async_callback(services.edits.stop)
        stack.push_async_callback(services.captioning.stop)
        await services.deleting.start()
        stack.push_async_callback(services.deleting.stop)
        stack.push_async_callback(services.duplicates.stop)
        stack.push_async_callback(services.map.stop)
        stack.push_async_callback(services.atlas.stop)
        stack.push_async_callback(services.imports.stop)
        stack.push_async_callback(services.sessions.stop)
        if services.rewriting:
            stack.push_async_callback(services.rewriting.stop)
        await services.generations.run()
        stack.push_async_callback(services.generations.stop)
        stack.callback(parts.decoders.close)
        yield services.state()
