"""The rewriter behind sessions: off the loop, in bounded time, unloaded when idle, and over HTTP as users see it."""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.bootstrap import make_rewriter
from app.errors import ModelUnavailable, Overloaded, RewriteFailed, Unavailable
from app.models.lazy import Lazy
from app.models.rewriter.base import Conversation, Deadline, Rewriter
from app.sessions.rewriting import Rewriting
from app.settings import RewriteSettings
from tests.support.chat_server import chat_server, completion
from tests.support.service import DEADLINE_S, make_parts, serving_parts, until
from tests.support.tiny_rewriters import build_parrot


class Gated:
    """A rewriter that waits in each call until it is let go, or the time is over."""

    name = "gated"

    def __init__(self) -> None:
        self.entered, self.gate = threading.Semaphore(0), threading.Event()
        self.calls: list[Conversation] = []
        self.ended_early = 0
        self.closed = 0

    def rewrite(self, conversation: Conversation, deadline: Deadline) -> str:
        self.calls.append(conversation)
        self.entered.release()
        while not self.gate.wait(0.005):
            if deadline.is_over:
                self.ended_early += 1
                raise RewriteFailed("too late")
        return f"a caption of {conversation.query}"

    def close(self) -> None:
        self.closed += 1


def rewriting(load: Callable[[], Any], **changed: Any) -> Rewriting:
    options: dict[str, Any] = {"timeout_s": DEADLINE_S, "idle_s": DEADLINE_S, "max_waiting": 8, "threads": 1}
    return Rewriting(Lazy[Rewriter](load), **(options | changed))


@pytest.fixture
def gated() -> Gated:
    return Gated()


def test_the_loop_goes_on_meanwhile(gated: Gated) -> None:
    async def run() -> str:
        rewrite = rewriting(lambda: gated)
        asked = asyncio.create_task(rewrite("a dog", ["more sand"], ["a brown dog"]))
        await until(lambda: bool(gated.calls))
        gated.gate.set()
        return await asked

    assert asyncio.run(run()) == "a caption of a dog"
    assert gated.calls == [Conversation("a dog", ("more sand",), ("a brown dog",))]


def test_after_its_time_it_fails_and_the_work_is_stopped(gated: Gated, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        rewrite = rewriting(lambda: gated, timeout_s=0.05)
        with caplog.at_level(logging.WARNING), pytest.raises(RewriteFailed, match=r"worked for longer than 0\.05 s"):
            await rewrite("a dog", [], [])
        await until(lambda: gated.ended_early == 1)
        gated.gate.set()
        assert await rewriting(lambda: gated)("a cat", [], []) == "a caption of a cat"

    asyncio.run(run())
    assert "A query was not rewritten" in caplog.text


def test_a_caller_that_leaves_ends_the_work(gated: Gated) -> None:
    async def run() -> None:
        asked = asyncio.create_task(rewriting(lambda: gated)("a dog", [], []))
        await until(lambda: bool(gated.calls))
        asked.cancel()
        await until(lambda: gated.ended_early == 1)

    asyncio.run(run())


def test_a_slow_load_fails_the_first_query_and_serves_the_next(gated: Gated) -> None:
    loading = threading.Event()
    gated.gate.set()

    def load() -> Gated:
        assert loading.wait(DEADLINE_S)
        return gated

    async def run() -> None:
        rewrite = rewriting(load, timeout_s=0.05)
        with pytest.raises(RewriteFailed, match="was being loaded for longer"):
            await rewrite("a dog", [], [])
        loading.set()
        await until(lambda: rewrite._lazy.loaded is not None)
        assert await rewrite("a cat", [], []) == "a caption of a cat"

    asyncio.run(run())
    assert [call.query for call in gated.calls] == ["a cat"]


def test_one_at_a_time_and_few_wait(gated: Gated) -> None:
    async def run() -> list[str]:
        rewrite = rewriting(lambda: gated, max_waiting=1)
        asked = [asyncio.create_task(rewrite("a dog", [], []))]
        await until(lambda: bool(gated.calls))
        asked.append(asyncio.create_task(rewrite("a cat", [], [])))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await rewrite("a bird", [], [])
        assert [call.query for call in gated.calls] == ["a dog"]
        gated.gate.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(run()) == ["a caption of a dog", "a caption of a cat"]


def test_an_idle_model_is_unloaded_and_comes_back(gated: Gated, caplog: pytest.LogCaptureFixture) -> None:
    gated.gate.set()
    loads: list[Gated] = []

    async def run() -> None:
        rewrite = rewriting(lambda: loads.append(gated) or gated, idle_s=0.02)
        await asyncio.gather(rewrite("a dog", [], []), rewrite("a cat", [], []))
        await until(lambda: gated.closed == 1)
        await rewrite("a bird", [], [])
        await rewrite.stop()

    with caplog.at_level(logging.INFO):
        asyncio.run(run())
    assert len(loads) == 2
    assert gated.closed == 2
    assert "The rewriter was idle for 0.02 s and is unloaded." in caplog.text


def test_a_model_that_works_is_not_unloaded(gated: Gated) -> None:
    async def run() -> None:
        rewrite = rewriting(lambda: gated, idle_s=0, threads=2)
        slow = asyncio.create_task(rewrite("a dog", [], []))
        await until(lambda: len(gated.calls) == 1)
        with pytest.raises(RewriteFailed):
            await rewriting_too_short(rewrite)
        assert gated.closed == 0
        gated.gate.set()
        await slow
        await until(lambda: gated.closed == 1)

    async def rewriting_too_short(rewrite: Rewriting) -> str:
        rewrite._timeout_s = 0.02
        return await rewrite("a cat", [], [])

    asyncio.run(run())


def test_after_stop_it_takes_no_more(gated: Gated) -> None:
    async def run() -> None:
        rewrite = rewriting(lambda: gated)
        await rewrite.stop()
        with pytest.raises(Unavailable, match="stopping"):
            await rewrite("a dog", [], [])

    asyncio.run(run())


def test_errors_of_loading_and_bugs(caplog: pytest.LogCaptureFixture) -> None:
    def unavailable() -> Gated:
        raise ModelUnavailable("no such model")

    def broken() -> Gated:
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(ModelUnavailable):
        asyncio.run(rewriting(unavailable)("a dog", [], []))
    with pytest.raises(RewriteFailed, match=r"^The rewriter failed\. The log says how\.$"):
        asyncio.run(rewriting(broken)("a dog", [], []))
    assert "CUDA out of memory" in caplog.text


def refined(client: httpx2.Client) -> dict[str, Any]:
    session = client.post("/api/v1/sessions").json()["session_id"]
    first = client.post(f"/api/v1/sessions/{session}/search", json={"query": "a dog"}).json()
    assert first["rewritten"] is None
    answer = client.post(f"/api/v1/sessions/{session}/refine", json={"feedback": "on the beach, without people"})
    assert answer.status_code == 200
    return dict(answer.json())


def test_a_session_shows_the_rewritten_query_and_goes_on_without(tmp_path: Path) -> None:
    with chat_server() as server:
        settings = RewriteSettings(model="small", url=server.url)
        parts = make_parts(tmp_path, rewrite=settings)
        parts = replace(parts, rewriter=make_rewriter(parts.settings))
        with serving_parts(parts) as client:
            answer = refined(client)
            assert answer["rewritten"] == "a wet dog near waves"
            assert [term["text"] for term in answer["query"]] == ["a wet dog near waves", "people"]
            assert "Feedback: on the beach, without people" in server.bodies[0]["messages"][-1]["content"]
            server.answer = lambda: completion("")
            answer = refined(client)
    assert answer["rewritten"] is None
    assert answer["note"].startswith(
        "The query was not rewritten; its words are searched as they are. The rewriter wrote nothing"
    )
    assert [term["text"] for term in answer["query"]] == ["a dog", "on the beach", "people"]


def test_a_local_model_rewrites_the_query_of_a_session(tmp_path: Path) -> None:
    folder = build_parrot(tmp_path / "parrot", ["a", "wet", "dog", "near", "waves"], chat=True)
    parts = make_parts(tmp_path / "library", rewrite=RewriteSettings(model=str(folder), timeout_s=DEADLINE_S))
    with serving_parts(replace(parts, rewriter=make_rewriter(parts.settings))) as client:
        answer = refined(client)
    assert answer["rewritten"] == "a wet dog near waves"
    assert "rewritten" not in (answer["note"] or "")
