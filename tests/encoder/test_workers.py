"""Bounded threads in front of blocking calls."""

import asyncio
import threading

import pytest

from app.encoder.workers import Workers
from app.errors import Overloaded
from tests.support.service import until


def test_calls_run_off_the_loop_and_their_errors_come_back() -> None:
    async def story() -> None:
        workers = Workers(1, 1)
        assert await workers.run(threading.get_ident) != threading.get_ident()
        with pytest.raises(KeyError):
            await workers.run({}.__getitem__, "x")

    asyncio.run(story())


def test_a_full_queue_is_refused_at_once_and_the_rest_is_done() -> None:
    async def story() -> None:
        workers, gate = Workers(2, 3), threading.Event()
        calls = [asyncio.create_task(workers.run(gate.wait, 10)) for _ in range(5)]
        await until(lambda: workers.waiting == 3)
        with pytest.raises(Overloaded) as refused:
            await workers.run(gate.wait, 10)
        assert refused.value.retry_after_s > 0
        gate.set()
        assert await asyncio.gather(*calls) == [True] * 5
        assert await workers.run(gate.is_set)

    asyncio.run(story())


def test_a_caller_that_is_cancelled_leaves_at_once_and_its_call_keeps_the_thread() -> None:
    async def story() -> None:
        workers, begun, gate = Workers(1, 3), threading.Event(), threading.Event()

        def wait() -> None:
            begun.set()
            gate.wait(10)

        left = asyncio.create_task(workers.run(wait))
        await until(begun.is_set)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(left, 1)
        following = asyncio.create_task(workers.run(gate.is_set))
        await until(lambda: workers.waiting == 1)
        gate.set()
        assert await following

    asyncio.run(story())


def test_calls_that_are_cancelled_before_they_begin_cost_no_thread() -> None:
    async def story() -> None:
        workers = Workers(1, 99)
        for _ in range(5):
            call = asyncio.create_task(workers.run(threading.get_ident))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert await asyncio.wait_for(workers.run(threading.get_ident), 5)

    asyncio.run(story())


def test_chunks_in_order() -> None:
    async def story() -> None:
        assert [chunk async for chunk in Workers(1, 1).iterate(iter([b"a", b"", b"b"]))] == [b"a", b"", b"b"]

    asyncio.run(story())


def test_closed_ones_end_what_is_idle_and_finish_what_has_begun() -> None:
    async def story() -> None:
        workers, gate, threads = Workers(2, 3), threading.Event(), list[threading.Thread]()
        begun = asyncio.create_task(workers.run(lambda: (threads.append(threading.current_thread()), gate.wait(10))))
        await until(lambda: bool(threads))
        threads.append(await workers.run(threading.current_thread))
        workers.close()
        await until(lambda: not threads[1].is_alive())
        assert threads[0].is_alive()
        gate.set()
        assert (await begun)[1]
        await until(lambda: not threads[0].is_alive())

    asyncio.run(story())
