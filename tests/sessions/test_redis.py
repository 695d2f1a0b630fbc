"""The service with sessions in Redis: replicas share them, restarts lose none, and it comes back after Redis does."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from app.settings import SessionSettings
from tests.sessions.test_routes import SESSIONS, ask, begin, files, keys
from tests.support.redis_server import RedisServer
from tests.support.service import FakeEmbedder, make_parts, serving_parts


@pytest.fixture
def replicas(tmp_path: Path, redis_server: RedisServer) -> Iterator[list[httpx2.Client]]:
    """Two services over the same bucket and the same Redis."""
    settings = SessionSettings(redis_url=redis_server.url)
    make_parts(tmp_path / "bucket", sessions=settings)
    with ExitStack() as stack:
        yield [
            stack.enter_context(serving_parts(make_parts(tmp_path / "bucket", keys=(), sessions=settings)))
            for _ in range(2)
        ]


def test_replicas_share_sessions_and_uploads(replicas: list[httpx2.Client]) -> None:
    one, two = replicas
    session = begin(one)
    first = one.post(f"{session}/search", files=files("top.png"), data={"query": "a cat"}).json()
    answer = ask(two, f"{session}/refine", pick=[0], feedback="more snow")
    assert answer["turn"] == 2
    assert answer["query"][-1]["image_ids"] == [first["results"][0]["image_id"]]
    (upload,) = two.get(session).json()["uploads"]
    assert two.get(upload["thumbnail_url"]).status_code == 200
    assert keys(ask(one, f"{session}/undo")) == keys(first)
    assert two.delete(session).status_code == 204
    assert one.get(session).status_code == 404


def test_concurrent_requests_to_replicas_lose_no_turn(replicas: list[httpx2.Client]) -> None:
    session = begin(replicas[0])
    ask(replicas[0], f"{session}/search", query="a cat")
    bodies = [{"pick": [number % 3]} if number % 2 else {"reject": [4]} for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        turns = list(
            pool.map(
                lambda pair: ask(replicas[pair[0] % 2], f"{session}/refine", turn=1, **pair[1])["turn"],
                enumerate(bodies),
            )
        )
    assert sorted(turns) == list(range(2, 14))
    info = replicas[1].get(session).json()
    assert [turn["turn"] for turn in info["turns"]] == list(range(1, 14))
    assert len(info["turns"][-1]["picked"]) == 3
    assert len(info["turns"][-1]["rejected"]) == 1


def test_killed_and_back(tmp_path: Path, redis_to_kill: RedisServer) -> None:
    """While Redis is gone sessions answer 503 and searches go on; afterwards nothing is lost."""
    settings = SessionSettings(redis_url=redis_to_kill.url)
    with serving_parts(make_parts(tmp_path / "bucket", sessions=settings)) as service:
        session = begin(service)
        first = service.post(f"{session}/search", files=files("top.png")).json()
        redis_to_kill.kill()
        for answer in (
            service.get(session),
            service.post(SESSIONS),
            service.post(f"{session}/refine", json={"feedback": "more snow"}),
            service.delete(session),
        ):
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["type"].endswith("sessions-unavailable")
            assert str(redis_to_kill.port) not in answer.text
        assert service.post("/api/v1/search/text", json={"query": "a cat"}).status_code == 200
        redis_to_kill.start()
        info = service.get(session).json()
        assert info["turns"][0]["results"] == [result["image_id"] for result in first["results"]]
        assert ask(service, f"{session}/refine", pick=[0])["turn"] == 2
    with serving_parts(make_parts(tmp_path / "bucket", keys=(), sessions=settings)) as restarted:
        assert [turn["turn"] for turn in restarted.get(session).json()["turns"]] == [1, 2]


def test_a_redis_that_hangs_is_not_waited_for(
    tmp_path: Path, redis_to_kill: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.sessions.redis_store.TIMEOUT_S", 0.1)
    settings = SessionSettings(redis_url=redis_to_kill.url)
    with serving_parts(make_parts(tmp_path / "bucket", sessions=settings)) as service:
        session = begin(service)
        redis_to_kill.pause()
        try:
            hung = service.get(session)
        finally:
            redis_to_kill.go_on()
        assert hung.status_code == 503, hung.text
        assert service.get(session).status_code == 200


def test_a_session_of_another_model_is_not_compared(tmp_path: Path, redis_server: RedisServer) -> None:
    settings = SessionSettings(redis_url=redis_server.url)
    with serving_parts(make_parts(tmp_path / "one", sessions=settings)) as service:
        session = begin(service)
    other = FakeEmbedder(fingerprint="othr" * 8)
    with serving_parts(make_parts(tmp_path / "two", other, sessions=settings)) as service:
        answer = service.get(session)
        assert answer.status_code == 404
        assert "another model" in answer.text
