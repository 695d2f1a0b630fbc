"""Which store the settings make."""

import pytest
from pydantic import ValidationError

from app.bootstrap import build, open_session_store
from app.errors import InvalidSettings
from app.sessions.redis_store import RedisStore
from app.sessions.store import MemoryStore
from app.settings import SessionSettings, Settings


def test_memory_by_default_and_redis_by_its_address() -> None:
    assert isinstance(open_session_store(SessionSettings()), MemoryStore)
    assert isinstance(open_session_store(SessionSettings(redis_url="redis://localhost:1/0")), RedisStore)


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.bootstrap.stores.find_spec", lambda name: None)
    with pytest.raises(InvalidSettings, match=r"image2search\[redis\]"):
        build(Settings(sessions=SessionSettings(redis_url="redis://localhost:1/0")))


@pytest.mark.parametrize("address", ["localhost", "localhost:6379", "http://localhost:6379", "redis://", "redis://a:b"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        SessionSettings(redis_url=address)
