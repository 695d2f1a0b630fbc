"""Index runs that the service starts: `python -m indexer`, one at a time, each in its own process.

The indexer prints the messages of `app.indexing.messages`. If it ends without an error message, the last line of its
standard error says what went wrong. A job is over with its report. The process may go on to fit faster arithmetic for
later runs; the next job or the end of the service ends it.
"""

import asyncio
import contextlib
import logging
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from app.errors import IndexBusy, JobNotFound, Unavailable
from app.indexing.messages import PhaseProgress, Report, RunError, parse_line

log = logging.getLogger(__name__)

HISTORY = 50
"""How many jobs are remembered, the running one included."""

MAX_LINE_BYTES = 64 << 20
"""The report is one line, and it names every skipped picture."""

STOP_TIMEOUT_S = 60.0
"""How long a stopped run may take to publish what it has done."""

MAX_ERROR_CHARS = 1000

COMMAND = (sys.executable, "-m", "indexer", "--progress", "json")


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass
class Job:
    """One index run, from the request that started it to its report."""

    id: str
    state: JobState = JobState.QUEUED
    progress: PhaseProgress | None = None
    report: Report | None = None
    error: str | None = None
    created_at: float = field(default_factory=time.time)
    """Seconds since the epoch, UTC."""
    finished_at: float | None = None

    def finish(self, error: str | None) -> None:
        self.error = error
        self.finished_at = time.time()
        self.state = JobState.FAILED if error else JobState.SUCCEEDED

    @property
    def is_over(self) -> bool:
        return self.state in (JobState.SUCCEEDED, JobState.FAILED)


class IndexJobs:
    """Starts, follows, remembers and stops index runs. For one event loop."""

    def __init__(
        self,
        on_finished: Callable[[], Awaitable[None]],
        *,
        command: Sequence[str] = COMMAND,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._on_finished = on_finished
        self._command = tuple(command)
        self._environment = {**os.environ, **(environment or {})}
        self._jobs: dict[str, Job] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self, *, rebuild: bool = False, allow_shrink: bool = False, captions: bool = False) -> Job:
        """Begin a run with these options of the indexer.

        Raises IndexBusy with the id of the running job, Unavailable after `stop`.
        """
        if self._stopping:
            raise Unavailable("The service is stopping and starts no index run. Ask again when it is back.")
        for job in self._jobs.values():
            if not job.is_over:
                raise IndexBusy(f"Index job {job.id} is {job.state}. Follow it at /api/v1/index/jobs/{job.id}.")
        job = Job(uuid.uuid4().hex)
        self._remember(job)
        asked = {"--rebuild": rebuild, "--allow-shrink": allow_shrink, "--captions": captions}
        options = [option for option, wanted in asked.items() if wanted]
        self._task = asyncio.create_task(self._run(job, options, self._task), name=f"index job {job.id}")
        return job

    def get(self, job_id: str) -> Job:
        """Raises JobNotFound."""
        try:
            return self._jobs[job_id]
        except KeyError:
            raise JobNotFound(f"No index job has the id {job_id!r}; the last {HISTORY} are remembered.") from None

    async def stop(self) -> None:
        """Ask the run to stop, and wait until it has published its work. No further run is started."""
        self._stopping = True
        if self._task is None or self._task.done():
            return
        self._terminate(self._is_idle())
        done, _ = await asyncio.wait([self._task], timeout=STOP_TIMEOUT_S)
        if not done and self._process is not None:
            log.error("The index run did not stop within %s s and is killed.", STOP_TIMEOUT_S)
            self._process.kill()
            await self._task

    def _is_idle(self) -> bool:
        """Whether all jobs are over."""
        return all(job.is_over for job in self._jobs.values())

    def _terminate(self, kill: bool = False) -> None:
        """Ask the indexer to stop, or `kill` it."""
        if self._process is not None and self._process.returncode is None:
            (self._process.kill if kill else self._process.terminate)()

    def _remember(self, job: Job) -> None:
        self._jobs[job.id] = job
        while len(self._jobs) > HISTORY:
            del self._jobs[next(iter(self._jobs))]

    async def _run(self, job: Job, options: list[str], before: "asyncio.Task[None] | None") -> None:
        error: str | None = "The run was lost. The service's log says why."
        try:
            if before is not None and not before.done():
                self._terminate(kill=True)
                await asyncio.wait([before])
            error = await self._follow_started(job, options)
            await self._finish(job, error)
        finally:
            _end(job, error)

    async def _finish(self, job: Job, error: str | None) -> None:
        """What comes after a run, unless its report has come before its end."""
        if not job.is_over:
            await self._after_run(job)
            _end(job, error)

    async def _after_run(self, job: Job) -> None:
        """An error after the run (reload, notification) does not change the run's result."""
        try:
            await self._on_finished()
        except Exception:
            log.exception("Index job %s is over, but the step after it failed.", job.id)

    async def _follow_started(self, job: Job, options: list[str]) -> str | None:
        """As `_follow`; also says so when the indexer could not be started."""
        try:
            return await self._follow(job, options)
        except OSError as problem:
            log.error("The indexer could not be started: %s", problem)
            return "The indexer could not be started. The service's log says why."

    async def _follow(self, job: Job, options: list[str]) -> str | None:
        """Run the indexer to its end. Returns what went wrong; None if nothing did."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *options,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            limit=MAX_LINE_BYTES,
            start_new_session=True,  # Ctrl-C in a terminal reaches only this process, which passes on one SIGTERM
        )
        self._process = process
        job.state = JobState.RUNNING
        if self._stopping:
            self._terminate()
        assert process.stdout is not None
        assert process.stderr is not None
        error, last_line = await asyncio.gather(self._follow_messages(process.stdout, job), _last_line(process.stderr))
        code = await process.wait()
        self._process = None
        if code == 0:
            return None
        return error or last_line or f"The indexer ended with exit code {code} and no message."

    async def _follow_messages(self, stdout: asyncio.StreamReader, job: Job) -> str | None:
        """Keep the job up to date until the indexer closes its output. Returns the error that it named."""
        error = None
        async for line in _lines(stdout):
            match parse_line(line):
                case Report() as report:
                    job.report = report
                    await self._finish(job, None)
                case PhaseProgress() as progress:
                    job.progress = progress
                case RunError(message=message):
                    error = message
        return error


def _end(job: Job, error: str | None) -> None:
    if not job.is_over:
        job.finish(error)
        log.info("Index job %s %s.", job.id, job.state)


async def _last_line(stderr: asyncio.StreamReader) -> str:
    last = ""
    async for line in _lines(stderr):
        text = line.decode(errors="replace").strip()
        if text:
            log.info("indexer: %s", text)
            last = text
    return last[:MAX_ERROR_CHARS]


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines to the end of the stream. A line longer than `MAX_LINE_BYTES` is dropped."""
    while True:
        line = b""
        with contextlib.suppress(ValueError):
            line = await stream.readline()
            if not line:
                return
        yield line
