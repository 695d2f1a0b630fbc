"""The watch on the published index survives whatever happens."""

import asyncio
import logging

import pytest

from app.indexing.follower import IndexFollower
from tests.support.service import until


class FakeLive:
    """A live catalog whose refreshes can fail."""

    def __init__(self) -> None:
        self.refreshes = 0
        self.bug: Exception | None = None

    def refresh(self) -> None:
        self.refreshes += 1
        if self.bug:
            raise self.bug


def test_it_loads_at_once_polls_and_survives_bugs(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        live = FakeLive()
        follower = IndexFollower(live, 0.001)  # type: ignore[arg-type]
        await follower.start()
        assert live.refreshes == 1
        live.bug = RuntimeError("unforeseen")
        await until(lambda: "unforeseen" in caplog.text)
        live.bug, before = None, live.refreshes
        await until(lambda: live.refreshes > before + 2)
        await follower.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with caplog.at_level(logging.ERROR):
        asyncio.run(story())


def test_asked_to_look_it_looks_at_once() -> None:
    async def story() -> None:
        live = FakeLive()
        await IndexFollower(live, 1000).refresh()  # type: ignore[arg-type]
        assert live.refreshes == 1

    asyncio.run(story())


def test_stopping_before_starting() -> None:
    asyncio.run(IndexFollower(FakeLive(), 1).stop())  # type: ignore[arg-type]
