"""Index runs in processes of their own; small scripts stand in for the indexer."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from app.errors import IndexBusy, JobNotFound, Unavailable
from app.indexing import jobs
from app.indexing.jobs import IndexJobs, Job, JobState
from app.indexing.messages import PhaseProgress, Report, Unindexed
from app.settings import ModelSettings, Settings, StorageSettings, environment_of, load_settings
from tests.support.service import until

DEADLINE_S = 20.0


class Finished:
    """Counts how often it was told that a run ended, and in which state the job was then."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1


def script(*lines: str) -> list[str]:
    return [sys.executable, "-c", "\n".join(("import json, os, signal, sys, time", *lines))]


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), DEADLINE_S))


async def over(job: Job) -> Job:
    await until(lambda: job.is_over)
    return job


def done(command: list[str], finished: Finished | None = None, **options: bool) -> Job:
    """The job after its run."""
    ended: list[Job] = []

    async def story() -> None:
        runs = IndexJobs(finished or Finished(), command=command)
        ended.append(await over(runs.start(**options)))
        await runs.stop()

    run(story)
    return ended[0]


def test_a_run_is_followed_to_its_report() -> None:
    finished = Finished()
    job = done(
        script(
            'print(json.dumps({"phase": "listing", "done": 0, "total": None}))',
            'print("a library says hello")',
            'print(json.dumps({"phase": "indexing", "done": 3, "total": 4}))',
            'print("")',
            'print(json.dumps({"report": {"added": 3}}))',
        ),
        finished,
    )
    assert job.state is JobState.SUCCEEDED
    assert job.progress == PhaseProgress("indexing", 3, 4)
    assert job.report == Report(added=3)
    assert job.error is None
    assert job.finished_at is not None
    assert finished.count == 1


def test_options_are_passed_on() -> None:
    command = script("print(sys.argv[1:], file=sys.stderr)", "sys.exit(1)")
    assert done(command).error == "[]"
    assert done(command, rebuild=True, allow_shrink=True).error == "['--rebuild', '--allow-shrink']"


def test_the_error_that_the_indexer_names() -> None:
    job = done(script('print(json.dumps({"error": {"type": "X", "message": "No bucket."}}))', "sys.exit(1)"))
    assert (job.state, job.error) == (JobState.FAILED, "No bucket.")


def test_else_the_last_line_of_its_standard_error() -> None:
    job = done(script('print("loading\\nError: out of memory\\n", file=sys.stderr)', "sys.exit(3)"))
    assert job.error == "Error: out of memory"


def test_else_its_exit_code() -> None:
    assert "exit code 3" in (done(script("sys.exit(3)")).error or "")
    assert "-9" in (done(script("os.kill(os.getpid(), signal.SIGKILL)")).error or "")


def test_a_report_of_megabytes() -> None:
    skipped = '[{"key": "x" * 100, "reason": "torn"}] * 50_000'
    job = done(script(f'print(json.dumps({{"report": {{"skipped": {skipped}}}}}))'))
    assert job.report is not None
    assert job.report.skipped == (Unindexed("x" * 100, "torn"),) * 50_000


def test_a_line_beyond_all_bounds_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_LINE_BYTES", 1000)
    job = done(script('print("x" * 100_000)', 'print(json.dumps({"report": {"added": 1}}))'))
    assert (job.state, job.report) == (JobState.SUCCEEDED, Report(added=1))


def test_an_indexer_that_cannot_be_started(tmp_path: Path) -> None:
    job = done([str(tmp_path / "missing")])
    assert job.state is JobState.FAILED
    assert "could not be started" in (job.error or "")
    assert str(tmp_path) not in (job.error or "")


def test_one_at_a_time() -> None:
    async def story() -> None:
        runs = IndexJobs(Finished(), command=script("sys.stdin.read()", "time.sleep(0.1)"))
        first = runs.start()
        with pytest.raises(IndexBusy, match=first.id):
            runs.start()
        await over(first)
        second = await over(runs.start())
        assert runs.get(first.id) is first
        assert runs.get(second.id) is second

    run(story)


def test_the_history_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "HISTORY", 2)

    async def story() -> None:
        runs = IndexJobs(Finished(), command=script())
        first, second, third = [await over(runs.start()) for _ in range(3)]
        with pytest.raises(JobNotFound, match=first.id):
            runs.get(first.id)
        assert runs.get(second.id) is second
        assert runs.get(third.id) is third

    run(story)


WAITS_FOR_SIGTERM = (
    "def stop(*_):",
    '    print(json.dumps({"report": {"interrupted": True}}), flush=True)',
    "    sys.exit(0)",
    "signal.signal(signal.SIGTERM, stop)",
    'print(json.dumps({"phase": "indexing", "done": 0, "total": 1}), flush=True)',
    "time.sleep(60)",
)


GOES_ON_AFTER_ITS_REPORT = (
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    'print(json.dumps({"report": {"added": 3}}), flush=True)',
    'print("fitting 8-bit arithmetic", file=sys.stderr, flush=True)',
    "time.sleep(60)",
)


def test_a_job_is_over_with_its_report_though_the_process_goes_on() -> None:
    async def story() -> None:
        finished = Finished()
        runs = IndexJobs(finished, command=script(*GOES_ON_AFTER_ITS_REPORT))
        first = await over(runs.start())
        assert (first.state, first.report, finished.count) == (JobState.SUCCEEDED, Report(added=3), 1)
        second = await over(runs.start())
        assert (second.state, second.report, finished.count) == (JobState.SUCCEEDED, Report(added=3), 2)
        await runs.stop()
        assert (first.state, second.error, finished.count) == (JobState.SUCCEEDED, None, 2)

    run(story)


def test_stopping_asks_the_run_to_stop_and_waits_for_it() -> None:
    async def story() -> None:
        runs = IndexJobs(Finished(), command=script(*WAITS_FOR_SIGTERM))
        job = runs.start()
        await until(lambda: job.progress is not None)
        await runs.stop()
        assert job.report == Report(interrupted=True)
        assert job.state is JobState.SUCCEEDED

    run(story)


def test_stopping_a_run_that_has_hardly_begun() -> None:
    async def story() -> None:
        runs = IndexJobs(Finished(), command=script("time.sleep(60)"))
        job = runs.start()
        await runs.stop()
        assert job.state is JobState.FAILED
        assert "-15" in (job.error or "")

    run(story)


def test_a_run_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "STOP_TIMEOUT_S", 0.2)

    async def story() -> None:
        stubborn = ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", *WAITS_FOR_SIGTERM[4:])
        runs = IndexJobs(Finished(), command=script(*stubborn))
        job = runs.start()
        await until(lambda: job.progress is not None)
        await runs.stop()
        assert "-9" in (job.error or "")

    run(story)


def test_stopping_when_nothing_runs() -> None:
    async def story() -> None:
        runs = IndexJobs(Finished(), command=script())
        await over(runs.start())
        await runs.stop()
        await IndexJobs(Finished(), command=script()).stop()

    run(story)


def test_nothing_is_started_once_it_was_stopped() -> None:
    async def story() -> None:
        runs = IndexJobs(Finished(), command=script())
        await runs.stop()
        with pytest.raises(Unavailable, match="stopping"):
            runs.start()

    run(story)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("a bug")], ids=str)
def test_a_run_went_well_whatever_fails_after_it(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    class Fails(Finished):
        async def __call__(self) -> None:
            raise error

    job = done(script('print(json.dumps({"report": {"added": 3}}))'), Fails())
    assert (job.state, job.error, job.report) == (JobState.SUCCEEDED, None, Report(added=3))
    assert str(error) in caplog.text


def test_the_environment_makes_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(
        storage=StorageSettings(url=f"file://{tmp_path}", link_expires_s=77),
        model=ModelSettings(name="some/model", threads=3),
    )
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings(None) == settings


def test_the_indexer_gets_the_environment() -> None:
    async def story() -> None:
        command = script('print(os.environ["MODEL"], "PATH" in os.environ, file=sys.stderr)', "sys.exit(1)")
        runs = IndexJobs(Finished(), command=command, environment={"MODEL": "mine"})
        job = await over(runs.start())
        assert job.error == "mine True"

    run(story)
