"""Imports with fakes for what adds, fetches and searches: what becomes of each picture, and what goes wrong."""

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import (
    FetchFailed,
    InvalidImage,
    InvalidInput,
    JobNotFound,
    Overloaded,
    StorageUnavailable,
    Unavailable,
    UrlRefused,
    WebSearchUnavailable,
)
from app.ingest.fetching import Fetched
from app.ingest.web.provider import WebPicture
from app.library.editing.adding import Added, NewPicture
from app.library.imports import service as library_imports
from app.library.imports.job import Address, Import, ImportState, Outcome, SentFile, WebQuery
from app.library.imports.service import AT_ONCE, HISTORY, RUNNING, Imports
from app.settings import ImportSettings
from app.types import ImageRecord, Source
from tests.support.service import make_parts, until

Step = Callable[[str], Awaitable[None]]


async def nothing(name: str) -> None:
    """A step that works."""


def failing(*errors: Exception) -> Step:
    """A step that fails so, one time after the other, and then works."""
    left = list(errors)

    async def step(name: str) -> None:
        if left:
            raise left.pop(0)

    return step


class Library:
    """Stands for `Adding`, `Fetcher` and a provider. A picture of the name `known` is there already."""

    def __init__(self, *, adding: Step = nothing, fetching: Step = nothing, searching: Step = nothing) -> None:
        self._adding, self._fetching, self._searching = adding, fetching, searching
        self.added: list[NewPicture] = []

    def check_folder(self, folder: str, seen: View | None) -> str:
        if folder == "bad":
            raise InvalidInput("no such folder")
        return folder.strip("/")

    async def add(self, new: NewPicture, seen: View | None) -> Added:
        await self._adding(new.name)
        self.added.append(new)
        record = ImageRecord("0" * 16, f"{new.folder}/{new.name}", "e", "h", 1, 0, 1, 1)
        return Added(record, is_new=new.name != "known")

    async def fetch(self, url: str) -> Fetched:
        await self._fetching(url)
        return Fetched(b"data", url, url.rpartition("/")[2])

    async def find(self, query: str, count: int) -> list[WebPicture]:
        await self._searching(query)
        return [WebPicture(f"http://x/{n}", Source(f"http://x/{n}", creator=query)) for n in range(count)]

    def imports(self) -> Imports:
        return Imports(
            self, self, lambda name: self, ImportSettings(max_pictures=50),
            workers=Workers(2, 50), max_bytes=10, offered=("openverse",),
        )  # fmt: skip


async def over(job: Import) -> Import:
    await until(lambda: job.is_over)
    return job


def run(library: Library, *origins: SentFile | Address | WebQuery) -> Import:
    async def story() -> Import:
        query = origins[0] if isinstance(origins[0], WebQuery) else origins
        return await over(library.imports().start(query, "/f/"))

    return asyncio.run(story())


def the_item(job: Import) -> tuple[Outcome, str | None]:
    (item,) = job.items
    return item.outcome, item.reason


def test_files_and_addresses_come_with_their_names_and_sources() -> None:
    library = Library()
    file = io.BytesIO(b"bytes")
    job = run(library, SentFile("a.png", file), Address("http://x/b.png"), Address("http://x/known", Source("s")))
    assert job.state is ImportState.DONE
    assert [item.outcome for item in job.items] == [Outcome.ADDED, Outcome.ADDED, Outcome.PRESENT]
    assert sorted(library.added, key=lambda new: new.name) == [
        NewPicture(b"bytes", "a.png", "f"),
        NewPicture(b"data", "b.png", "f", Source("http://x/b.png")),
        NewPicture(b"data", "known", "f", Source("s")),
    ]
    assert file.closed


def test_a_web_search_brings_addresses_with_their_sources() -> None:
    library = Library()
    job = run(library, WebQuery("cat", "openverse", 3))
    assert job.counts()[Outcome.ADDED] == 3
    assert {new.source.creator for new in library.added if new.source} == {"cat"}


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (InvalidImage("no picture"), Outcome.REFUSED, "no picture"),
        (UrlRefused("not public"), Outcome.REFUSED, "not public"),
        (FetchFailed("answers 404"), Outcome.FAILED, "answers 404"),
        (StorageUnavailable("s3 at 10.0.0.1 is down"), Outcome.FAILED, "The object storage does not answer"),
        (RuntimeError("a bug"), Outcome.FAILED, "Something went wrong on our side"),
    ],
)
def test_a_picture_that_fails_costs_the_others_nothing(
    error: Exception, outcome: Outcome, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def one(name: str) -> None:
        if name.endswith("bad"):
            raise error

    for library in (Library(adding=one), Library(fetching=one)):
        job = run(library, Address("http://x/a"), Address("http://x/bad"), Address("http://x/c"))
        assert [item.outcome for item in job.items] == [Outcome.ADDED, outcome, Outcome.ADDED]
        assert reason in str(job.items[1].reason)
        assert "10.0.0.1" not in str(job.items[1].reason)
    assert ("10.0.0.1" in caplog.text) == isinstance(error, StorageUnavailable)
    assert ("a bug" in caplog.text) == isinstance(error, RuntimeError)


def test_a_file_that_is_too_large_is_refused_and_closed() -> None:
    file = io.BytesIO(bytes(11))
    assert the_item(run(Library(), SentFile("a", file)))[0] is Outcome.REFUSED
    assert file.closed


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once, and no server is waited for any longer."""
    monkeypatch.setattr(library_imports, "BUSY_WAIT_S", 0)
    monkeypatch.setattr(library_imports, "PATIENCE_S", 0)


def asked_to_wait(seconds: int) -> FetchFailed:
    error = FetchFailed("answers 429")
    error.retry_after_s = seconds
    return error


@pytest.mark.usefixtures("quick")
def test_what_is_refused_for_a_moment_is_tried_again() -> None:
    for library in (
        Library(adding=failing(Overloaded("x"), Overloaded("x"))),
        Library(fetching=failing(Overloaded("x"))),
        Library(fetching=failing(asked_to_wait(0), asked_to_wait(0))),
    ):
        assert the_item(run(library, Address("http://x/a"))) == (Outcome.ADDED, None)


@pytest.mark.usefixtures("quick")
def test_patience_ends() -> None:
    endless = failing(*[Overloaded("x")] * 20)
    assert the_item(run(Library(adding=endless), Address("http://x/a")))[0] is Outcome.FAILED
    assert the_item(run(Library(fetching=failing(asked_to_wait(1))), Address("http://x/a")))[0] is Outcome.FAILED


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (WebSearchUnavailable("10.0.0.1 refused"), "The web search does not answer"),
        (FetchFailed("Openverse refuses the search"), "Openverse refuses the search"),
        (RuntimeError("a bug"), "Something went wrong on our side"),
    ],
)
def test_a_search_that_fails_ends_the_import_with_the_reason(
    error: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    job = run(Library(searching=failing(error)), WebQuery("cat", "openverse", 3))
    assert (job.state, job.items) == (ImportState.FAILED, [])
    assert reason in str(job.error)
    assert str(error) in caplog.text
    assert ("a bug" in caplog.text) == isinstance(error, RuntimeError)


def test_what_can_not_be_meant_starts_nothing() -> None:
    async def story() -> None:
        imports = Library().imports()
        for origins, folder in (([Address("http://x/a")], "bad"), ([Address("http://x/a")] * 51, "f")):
            with pytest.raises(InvalidInput):
                imports.start(origins, folder)
        with pytest.raises(InvalidInput, match="WEB_PROVIDERS=ddgs"):
            imports.check_provider("ddgs")
        imports.check_provider("openverse")
        with pytest.raises(JobNotFound):
            imports.get("x")

    asyncio.run(story())


def test_an_import_into_a_folder_that_the_caller_does_not_see_is_unknown(tmp_path: Path) -> None:
    snapshot = make_parts(tmp_path).catalog.load()
    assert snapshot is not None

    async def story() -> None:
        imports = Library().imports()
        job = imports.start([Address("http://x/a")], "nature/beach", View(snapshot, ["nature"]))
        assert imports.get(job.id, View(snapshot, ["nature"])) is job
        with pytest.raises(JobNotFound):
            imports.get(job.id, View(snapshot, ["vehicles"]))

    asyncio.run(story())


def test_imports_are_bounded_also_while_their_files_still_come() -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def waits(name: str) -> None:
            await gate.wait()

        imports = Library(adding=waits).imports()
        jobs = [imports.start([Address("http://x/a")], "f") for _ in range(RUNNING - 1)]
        with ExitStack() as stack:
            stack.enter_context(imports.receiving())
            with pytest.raises(Overloaded):
                stack.enter_context(imports.receiving())
            jobs.append(imports.start([Address("http://x/a")], "f"))
        with pytest.raises(Overloaded):
            imports.start([Address("http://x/a")], "f")
        gate.set()
        for job in jobs:
            await over(job)
        await over(imports.start([Address("http://x/a")], "f"))

    asyncio.run(story())


def test_the_last_imports_are_remembered() -> None:
    async def story() -> None:
        imports = Library().imports()
        jobs = [await over(imports.start([Address("http://x/a")], "f")) for _ in range(HISTORY + 1)]
        assert imports.get(jobs[-1].id) is jobs[-1]
        with pytest.raises(JobNotFound):
            imports.get(jobs[0].id)

    asyncio.run(story())


def test_a_stop_ends_fetching_at_once_and_waits_for_what_is_being_added() -> None:
    async def story() -> None:
        gate, begun = asyncio.Event(), []

        async def slow_add(name: str) -> None:
            begun.append(name)
            await gate.wait()

        async def fetch(url: str) -> None:
            if not url.endswith("first"):
                await asyncio.Event().wait()

        file = io.BytesIO(b"x")
        imports = Library(adding=slow_add, fetching=fetch).imports()
        origins = [Address("http://x/first"), *[Address("http://x/other")] * (2 * AT_ONCE), SentFile("last", file)]
        job = imports.start(origins, "f")
        searching = imports.start(WebQuery("cat", "openverse", 2), "f")
        await until(lambda: begun == ["first"])
        stopping = asyncio.create_task(imports.stop())
        await until(lambda: job.counts()[Outcome.LEFT] == len(origins) - 1)
        assert not stopping.done()
        with pytest.raises(Unavailable):
            imports.start([Address("http://x/a")], "f")
        gate.set()
        await stopping
        assert job.state is ImportState.STOPPED
        assert (job.items[0].outcome, job.items[-1].outcome) == (Outcome.ADDED, Outcome.LEFT)
        assert file.closed
        assert searching.is_over

    asyncio.run(story())


def test_a_cancelled_import_finishes_what_is_being_added_and_leaves_the_others_alone() -> None:
    async def story() -> None:
        gate, begun = asyncio.Event(), []

        async def slow_add(name: str) -> None:
            begun.append(name)
            await gate.wait()

        async def fetch(url: str) -> None:
            if url.endswith("slow"):
                await asyncio.Event().wait()

        file = io.BytesIO(b"x")
        imports = Library(adding=slow_add, fetching=fetch).imports()
        origins = [Address("http://x/first"), *[Address("http://x/slow")] * (2 * AT_ONCE), SentFile("last", file)]
        job = imports.start(origins, "f")
        other = imports.start([Address("http://x/other")], "f")
        await until(lambda: sorted(begun) == ["first", "other"])
        followed = asyncio.create_task(job.ended())
        cancelling = [asyncio.create_task(imports.cancel(job.id)) for _ in range(2)]
        await until(lambda: job.counts()[Outcome.LEFT] == len(origins) - 1)
        assert not any(each.done() for each in (followed, *cancelling))
        gate.set()
        assert [await each for each in cancelling] == [job, job]
        await followed
        assert job.state is ImportState.CANCELLED
        assert (job.items[0].outcome, job.items[-1].outcome) == (Outcome.ADDED, Outcome.LEFT)
        assert job.items[-1].reason == "The import was cancelled before its turn."
        assert file.closed
        assert (await over(other)).state is ImportState.DONE

    asyncio.run(story())


def test_what_is_over_or_had_its_last_picture_is_not_cancelled_any_more() -> None:
    async def story() -> None:
        gate, begun = asyncio.Event(), []

        async def slow_add(name: str) -> None:
            begun.append(name)
            await gate.wait()

        imports = Library(adding=slow_add).imports()
        job = imports.start([Address("http://x/only")], "f")
        await until(lambda: bool(begun))
        cancelling = asyncio.create_task(imports.cancel(job.id))
        await asyncio.sleep(0)
        gate.set()
        assert (await cancelling).state is ImportState.DONE
        assert (await imports.cancel(job.id)).state is ImportState.DONE
        with pytest.raises(JobNotFound):
            await imports.cancel("x")

    asyncio.run(story())


@pytest.mark.parametrize("state", [ImportState.CANCELLED, ImportState.STOPPED])
def test_a_web_search_ends_when_its_import_is_cut_short(state: ImportState) -> None:
    async def story() -> None:
        async def endless(query: str) -> None:
            await asyncio.Event().wait()

        imports = Library(searching=endless).imports()
        job = imports.start(WebQuery("cat", "openverse", 2), "f")
        await asyncio.sleep(0)
        await (imports.cancel(job.id) if state is ImportState.CANCELLED else imports.stop())
        assert (job.state, job.items, job.error) == (state, [], None)

    asyncio.run(story())


def test_a_watcher_sees_every_item_once() -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def waits(name: str) -> None:
            if name != "0":
                await gate.wait()

        job = Library(adding=waits).imports().start([Address(f"http://x/{n}") for n in range(20)], "f")

        async def seen(after: int) -> list[str]:
            return [item.name async for item in job.watch(after)]

        early = asyncio.create_task(seen(0))
        await until(lambda: len(job.over) == 1)
        middle = asyncio.create_task(seen(1))
        await asyncio.sleep(0)
        gate.set()
        names = await early
        assert sorted(names) == sorted(f"http://x/{n}" for n in range(20))
        assert await middle == names[1:]
        assert await seen(0) == names
        assert await seen(20) == await seen(99) == []

    asyncio.run(story())


def test_the_log_names_no_picture(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, library_imports.__name__):
        run(Library(), Address("http://x/a?token=secret"))
    assert "1 added" in caplog.text
    assert "secret" not in caplog.text
