"""Sessions in Redis, so that replicas share them and a restart of the service loses none.

One session is one hash: `state`, `version`, and a field for each file. Redis itself ends it after the idle time. A
sorted set has the time at which each session ends, to count them. Changes are Lua scripts, which Redis runs as one
step, by its own clock.
"""

import logging
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast
from uuid import uuid4

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.errors import InvalidSettings, SessionStoreUnavailable, first_line
from app.sessions.store import Stored, too_many

log = logging.getLogger(__name__)

PREFIX: Final = "{image2search:sessions}"
"""The braces put all keys into one slot of a Redis Cluster."""

ENDS: Final = f"{PREFIX}:ends"

TIMEOUT_S: Final = 2.0
"""For a free connection, a new one, and an answer."""

CONNECTIONS: Final = 32
"""Kept open, at most. More requests wait for a free one."""

_CREATE: Final = """
local ends, key = KEYS[1], KEYS[2]
local id, idle_ms, limit, state, version = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', ends, '-inf', now)
if redis.call('HGET', key, 'version') == version then return 0 end
if redis.call('ZCARD', ends) >= limit then
  local first = redis.call('ZRANGE', ends, 0, 0, 'WITHSCORES')
  return math.ceil(tonumber(first[2]) - now)
end
redis.call('HSET', key, 'state', state, 'version', version)
redis.call('PEXPIRE', key, idle_ms)
redis.call('ZADD', ends, now + idle_ms, id)
redis.call('PEXPIRE', ends, idle_ms * 2)
return 0
"""
"""0, or the milliseconds until a session ends."""

_READ: Final = """
local ends, key = KEYS[1], KEYS[2]
local id, idle_ms = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('PEXPIRE', key, idle_ms) == 0 then return false end
redis.call('ZADD', ends, now + idle_ms, id)
redis.call('PEXPIRE', ends, idle_ms * 2)
return redis.call('HMGET', key, unpack(ARGV, 3))
"""
"""The fields that are asked for; nil without the session."""

_SAVE: Final = """
local ends, key = KEYS[1], KEYS[2]
local id, idle_ms = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version, next_version, state, drops = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local current = redis.call('HGET', key, 'version')
if current == next_version then return 1 end
if current ~= version then return 0 end
if drops == '1' then redis.call('DEL', key) end
redis.call('HSET', key, 'state', state, 'version', next_version, unpack(ARGV, 7))
redis.call('PEXPIRE', key, idle_ms)
redis.call('ZADD', ends, now + idle_ms, id)
redis.call('PEXPIRE', ends, idle_ms * 2)
return 1
"""
"""1, or 0 where the version is another. The client sends a script again when the reply is lost: then the new version is
there already."""


def open_redis(url: str, *, idle_s: float, limit: int) -> "RedisStore":
    """Raises InvalidSettings where REDIS_URL is no address. Opens no connection."""
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),  # one connection that broke while it was idle
        )
    except ValueError as error:
        raise InvalidSettings(
            f"REDIS_URL can't be used: {first_line(error)}. Write it as in redis://localhost:6379/0, with "
            "redis://:password@host:6379/0 where Redis asks for a password, or rediss:// for TLS."
        ) from error
    return RedisStore(Redis.from_pool(pool), idle_s=idle_s, limit=limit)


class RedisStore:
    """For one event loop. As `SessionStore`; connects when it is first used, and again after Redis was away."""

    def __init__(self, client: "Redis", *, idle_s: float, limit: int) -> None:
        self._client = client
        self._idle_ms, self._limit = max(1, round(idle_s * 1000)), limit
        self._create, self._read, self._save = (client.register_script(each) for each in (_CREATE, _READ, _SAVE))

    async def create(self, session_id: str, state: bytes) -> None:
        with _translated():
            values = [*self._common(session_id), self._limit, state, uuid4().hex]
            wait_ms = await self._create(_keys(session_id), values)
        if wait_ms:
            raise too_many(self._limit, wait_ms / 1000)

    async def load(self, session_id: str) -> Stored | None:
        state, version = await self._fields(session_id, ["state", "version"])
        return None if state is None or version is None else Stored(state, version.decode())

    async def save(
        self,
        session_id: str,
        state: bytes,
        *,
        version: str,
        files: Mapping[str, bytes] | None = None,
        drop_files: bool = False,
    ) -> bool:
        fields = [part for name, data in (files or {}).items() for part in (_file(name), data)]
        values = [*self._common(session_id), version, uuid4().hex, state, int(drop_files), *fields]
        with _translated():
            return bool(await self._save(_keys(session_id), values))

    async def read_files(self, session_id: str, names: Sequence[str]) -> list[bytes | None]:
        return await self._fields(session_id, [_file(name) for name in names]) if names else []

    async def delete(self, session_id: str) -> None:
        with _translated():
            async with self._client.pipeline(transaction=True) as pipeline:
                pipeline.delete(_keys(session_id)[1])
                pipeline.zrem(ENDS, session_id)
                await pipeline.execute()

    async def close(self) -> None:
        await cast(Awaitable[None], self._client.aclose())

    async def _fields(self, session_id: str, names: Sequence[str]) -> list[bytes | None]:
        with _translated():
            found: list[bytes | None] | None = await self._read(_keys(session_id), [*self._common(session_id), *names])
        return [None] * len(names) if found is None else found

    def _common(self, session_id: str) -> list[Any]:
        return [session_id, self._idle_ms]


def _keys(session_id: str) -> list[str]:
    return [ENDS, f"{PREFIX}:{session_id}"]


def _file(name: str) -> str:
    return f"file:{name}"


@contextmanager
def _translated() -> Iterator[None]:
    """Raises SessionStoreUnavailable. What Redis says may hold addresses: it goes into the log alone."""
    try:
        yield
    except (RedisError, OSError) as error:
        log.warning("The sessions in Redis (REDIS_URL) can't be reached: %s", first_line(error))
        raise SessionStoreUnavailable("The search sessions can't be reached.") from error
