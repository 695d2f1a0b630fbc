"""Requests to one session take turns."""

import asyncio

import pytest

from app.errors import Overloaded
from app.sessions.in_turn import MAX_WAITING, InTurn


def test_one_at_a_time_in_order_and_not_too_many() -> None:
    async def walk() -> None:
        in_turn, let_go = InTurn(), asyncio.Event()
        order: list[int] = []

        async def request(number: int) -> None:
            async with in_turn.wait_for("a"):
                order.append(number)
                await let_go.wait()

        waiting = [asyncio.create_task(request(number)) for number in range(MAX_WAITING)]
        await asyncio.sleep(0)
        assert order == [0]
        with pytest.raises(Overloaded, match="wait for this session"):
            await request(99)
        async with in_turn.wait_for("b"):  # another session does not wait
            pass
        let_go.set()
        await asyncio.gather(*waiting)
        assert order == list(range(MAX_WAITING))
        await request(100)
        assert not in_turn._queues

    asyncio.run(walk())
