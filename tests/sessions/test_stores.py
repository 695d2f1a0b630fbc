"""One suite for both stores of sessions, in memory and in a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import pytest
import redis

from app.errors import InvalidSettings, Overloaded
from app.sessions.redis_store import PREFIX, open_redis
from app.sessions.store import MemoryStore, SessionStore
from tests.support.redis_server import RedisServer
from tests.support.service import DEADLINE_S

Opened: TypeAlias = Callable[..., AbstractAsyncContextManager[SessionStore]]


@pytest.fixture(params=["memory", "redis"])
def opened(request: pytest.FixtureRequest) -> Opened:
    """Opens a store without sessions."""

    @asynccontextmanager
    async def open_store(idle_s: float = 60, limit: int = 10) -> AsyncIterator[SessionStore]:
        if request.param == "memory":
            store: SessionStore = MemoryStore(idle_s, limit)
        else:
            server: RedisServer = request.getfixturevalue("redis_server")
            with redis.Redis(port=server.port) as client:
                client.flushall()
            store = open_redis(server.url, idle_s=idle_s, limit=limit)
        try:
            yield store
        finally:
            await store.close()

    return open_store


async def load(store: SessionStore, session_id: str) -> tuple[bytes, str]:
    stored = await store.load(session_id)
    assert stored is not None
    return stored.state, stored.version


def test_what_is_saved_is_loaded(opened: Opened) -> None:
    async def walk() -> None:
        async with opened() as store:
            assert await store.load("a") is None
            await store.create("a", b"one")
            state, version = await load(store, "a")
            assert state == b"one"
            assert await store.save("a", b"two", version=version, files={"x": b"\x00\xff", "y": b"y"})
            state, version = await load(store, "a")
            assert state == b"two"
            assert await store.read_files("a", ["y", "none", "x"]) == [b"y", None, b"\x00\xff"]
            assert await store.read_files("a", []) == []
            assert await store.save("a", b"three", version=version, drop_files=True)
            assert await store.read_files("a", ["x", "y"]) == [None, None]
            await store.delete("a")
            await store.delete("a")
            assert await store.load("a") is None
            assert not await store.save("a", b"four", version=version)

    asyncio.run(walk())


def test_only_the_loaded_version_is_replaced(opened: Opened) -> None:
    async def walk() -> None:
        async with opened() as store:
            await store.create("a", b"0")
            _, version = await load(store, "a")
            saved = await asyncio.gather(*(store.save("a", b"%d" % number, version=version) for number in range(1, 6)))
            assert saved.count(True) == 1
            state, _ = await load(store, "a")
            assert state == b"%d" % (saved.index(True) + 1)

    asyncio.run(walk())


def test_an_idle_session_is_gone_with_its_files(opened: Opened) -> None:
    async def walk() -> None:
        async with opened(idle_s=0.3) as store:
            await store.create("idle", b"state")
            _, version = await load(store, "idle")
            await store.save("idle", b"state", version=version, files={"x": b"x"})
            await store.create("used", b"state")
            async with asyncio.timeout(DEADLINE_S):
                while await store.load("used") and await _exists(store, "idle"):  # noqa: ASYNC110 - time ends it
                    await asyncio.sleep(0.01)
            assert await store.load("used") is not None
            assert await store.read_files("idle", ["x"]) == [None]
            assert await store.load("idle") is None

    asyncio.run(walk())


async def _exists(store: SessionStore, session_id: str) -> bool:
    """Without using the session, which would begin its idle time anew."""
    if isinstance(store, MemoryStore):
        return session_id in store._kept
    return bool(await store._client.exists(f"{PREFIX}:{session_id}"))  # type: ignore[attr-defined]


def test_the_number_of_sessions_is_bounded(opened: Opened) -> None:
    async def walk() -> None:
        async with opened(idle_s=0.4, limit=2) as store:
            await store.create("a", b"")
            await store.create("b", b"")
            with pytest.raises(Overloaded, match="SESSION_MAX") as refused:
                await store.create("c", b"")
            assert refused.value.retry_after_s == 1
            await store.delete("a")
            await store.create("c", b"")
            async with asyncio.timeout(DEADLINE_S):
                while not await _created(store, "d"):  # noqa: ASYNC110 - time makes room
                    await asyncio.sleep(0.01)

    asyncio.run(walk())


async def _created(store: SessionStore, session_id: str) -> bool:
    try:
        await store.create(session_id, b"")
    except Overloaded:
        return False
    return True


def test_ended_sessions_leave_the_memory_although_nobody_asks() -> None:
    async def walk() -> None:
        store = MemoryStore(0.05, 10)
        await store.create("a", b"")
        await store.create("b", b"")
        async with asyncio.timeout(DEADLINE_S):
            while store._kept:  # noqa: ASYNC110 - a timer empties it
                await asyncio.sleep(0.005)
        await store.create("c", b"")
        await store.close()

    asyncio.run(walk())


def test_a_bad_address_of_redis_is_told() -> None:
    with pytest.raises(InvalidSettings, match="REDIS_URL can't be used"):
        open_redis("redis://localhost/0?db=x&max_connections=many", idle_s=1, limit=1)


def test_a_change_whose_reply_was_lost_is_not_made_twice(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sends the script again after the connection broke; the first one had succeeded."""

    async def walk() -> None:
        store = open_redis(redis_server.url, idle_s=60, limit=10)
        await store.create("lost", b"one")
        _, version = await load(store, "lost")
        send, sent = store._save, []

        async def sends_twice(keys: list[str], values: list[object]) -> object:
            sent.append(await send(keys, values))
            sent.append(await send(keys, values))
            return sent[-1]

        monkeypatch.setattr(store, "_save", sends_twice)
        assert await store.save("lost", b"two", version=version)
        assert sent == [1, 1]
        state, _ = await load(store, "lost")
        assert state == b"two"
        await store.close()

    asyncio.run(walk())
