"""The indexer's command line: options in; progress, report and exit code out.

stderr is for people (bar or log lines, summary, the one sentence of an error); stdout is for programs (JSON only).
"""

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.logging import RichHandler

from app.errors import AppError, InvalidSettings
from app.indexing.messages import Report, RunError, to_line
from app.printable import PrintableFormatter, printable, printable_lines
from app.settings import Settings, load_settings
from indexer.progress import (
    BarProgress,
    JsonProgress,
    LogProgress,
    PatientConsole,
    Progress,
    SilentProgress,
    discard,
    write_line,
)
from indexer.signals import StopSignal

if TYPE_CHECKING:
    from app.bootstrap import Parts
    from indexer.executor import MakeExecutor

log = logging.getLogger(__name__)

Build: TypeAlias = Callable[[Settings], "Parts"]


class EngineName(StrEnum):
    PLAIN = "plain"
    RAY = "ray"


class ProgressMode(StrEnum):
    AUTO = "auto"
    BAR = "bar"
    LOG = "log"
    JSON = "json"
    NONE = "none"


class Output:
    """Where a run's progress, report and error go."""

    def __init__(self, mode: ProgressMode, report: str | None, *, assume_yes: bool = False) -> None:
        self._console = PatientConsole(stderr=True)
        auto = ProgressMode.BAR if self._console.is_terminal else ProgressMode.LOG
        self._mode = auto if mode is ProgressMode.AUTO else mode
        self._report = None if report is None or report == "-" else Path(report)
        self._report_on_stdout = report == "-" or (report is None and not sys.stdout.isatty())
        self._asks = not assume_yes and sys.stdin.isatty() and sys.stderr.isatty() and mode is not ProgressMode.JSON

    def check(self) -> None:
        """Raise InvalidSettings if the report can't be written: better now than after hours of work."""
        try:
            if self._report:
                self._report.open("ab").close()
        except OSError as error:
            raise InvalidSettings(
                f"The report can't be written to {self._report} ({error.strerror}). Give --report a file that can be."
            ) from error

    def set_up_logging(self, level: str) -> None:
        """Our own loggers log from `level` on, libraries from warnings on."""
        bar = self._mode is ProgressMode.BAR
        handler = RichHandler(console=self._console, show_path=False) if bar else logging.StreamHandler()
        handler.setFormatter(PrintableFormatter("%(message)s" if bar else "%(asctime)s %(levelname)s %(message)s"))
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
        for name in ("app", "indexer"):
            logging.getLogger(name).setLevel(level.upper())

    def progress(self) -> Progress:
        match self._mode:
            case ProgressMode.BAR:
                return BarProgress(self._console)
            case ProgressMode.JSON:
                return JsonProgress(sys.stdout)
            case ProgressMode.NONE:
                return SilentProgress()
            case _:
                return LogProgress()

    def consent(self, warning: str, question: str | None) -> bool:
        """As `indexer.consent.Consent`. Only a person at a terminal is asked."""
        self._tell(warning)
        if question is None or not self._asks:
            return True
        try:
            with _interruptible():
                return typer.confirm(question, err=True)
        except typer.Abort:  # Ctrl-C or Ctrl-D
            self._tell("")
            return False

    def report(self, report: Report) -> None:
        """Raises AppError if the report can't be written; the run is done and published all the same."""
        from indexer.report import summary

        if self._report:
            with _writing_report(self._report):
                self._report.write_bytes(report.to_json(indent=True))
        if self._mode is not ProgressMode.JSON:
            self._tell(summary(report))
        with _writing_report("the standard output"):
            if self._mode is ProgressMode.JSON:
                write_line(sys.stdout, to_line(report))
            elif self._report_on_stdout:
                write_line(sys.stdout, report.to_json())

    def error(self, error: AppError) -> None:
        """One sentence, the last line of stderr; for a program also a line of JSON on stdout."""
        if self._mode is not ProgressMode.JSON:
            self._tell(f"Error: {printable(str(error))}")
            return
        self._tell(printable(str(error)))
        with suppress(OSError):
            write_line(sys.stdout, to_line(RunError(type(error).__name__, str(error))))

    def _tell(self, text: str) -> None:
        with suppress(OSError):
            self._console.print(printable_lines(text), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the question at once, where `StopSignal` would only note it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _writing_report(where: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            discard(sys.stdout)
        raise AppError(
            f"The run went well and the index is up to date, but the report could not be written to {where} "
            f"({error.strerror or error}). Make room there, or give --report another file."
        ) from error


def make_app(build: Build | None = None, make_executor: "MakeExecutor | None" = None) -> typer.Typer:
    """The command. `build` replaces `bootstrap.build`, and `make_executor` the executor that `--engine` names."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.command()
    def index(
        *,
        rebuild: Annotated[
            bool,
            typer.Option("--rebuild", help="Embed everything again and replace the index, whatever model made it."),
        ] = False,
        allow_shrink: Annotated[
            bool, typer.Option("--allow-shrink", help="Remove pictures that are gone, however many they are.")
        ] = False,
        retry_skipped: Annotated[
            bool, typer.Option("--retry-skipped", help="Read again pictures that could not be read before.")
        ] = False,
        details: Annotated[
            bool,
            typer.Option(
                "--details",
                help="Read again pictures that an earlier version indexed without date, camera and perceptual hash.",
            ),
        ] = False,
        captions: Annotated[
            bool,
            typer.Option(
                "--captions",
                help="Describe indexed pictures that have no caption, with the model that CAPTION_MODEL names. A run "
                "that was cut off goes on where it was.",
            ),
        ] = False,
        engine: Annotated[
            EngineName,
            typer.Option(
                help="plain: threads and one model in this process; ray: as many workers as this machine, or the "
                "cluster at RAY_ADDRESS, has room for."
            ),
        ] = EngineName.PLAIN,
        watch: Annotated[
            str | None,
            typer.Option(
                metavar="CRON|SECONDS", help="Keep running: now, then by five crontab fields or every N seconds."
            ),
        ] = None,
        yes: Annotated[
            bool, typer.Option("--yes", help="Do not ask before the demo model indexes pictures that it does not know.")
        ] = False,
        fit: Annotated[
            bool,
            typer.Option(
                help="After the report of a long run, fit 8-bit arithmetic to the pictures, for later runs and "
                "searches. Happens once, and only on a CPU that gains by it."
            ),
        ] = True,
        report: Annotated[
            str | None,
            typer.Option(
                metavar="FILE|-", help="Write the JSON report there; by default to stdout unless that is a terminal."
            ),
        ] = None,
        progress: Annotated[
            ProgressMode,
            typer.Option(help="auto: a bar on a terminal, log lines elsewhere; json: one object a line on stdout."),
        ] = ProgressMode.AUTO,
    ) -> None:
        """Make the index true to the bucket that STORAGE_URL names; settings come from the environment and .env."""
        output = Output(progress, report, assume_yes=yes)
        try:
            with StopSignal() as stop:
                flags = {"rebuild": rebuild, "allow_shrink": allow_shrink, "retry_skipped": retry_skipped}
                flags |= {"details": details, "captions": captions}
                run = _prepare(build, make_executor, output, stop, engine, fit=fit, **flags)
                if watch is None:
                    run()
                else:
                    _watch(run, watch, output, stop)
        except AppError as error:
            output.error(error)
            raise typer.Exit(1) from error

    return app


def _prepare(
    build: Build | None,
    make_executor: "MakeExecutor | None",
    output: Output,
    stop: StopSignal,
    engine: EngineName,
    *,
    fit: bool,
    **flags: bool,
) -> Callable[[], None]:
    """A function that does one run, reports it, and then fits arithmetic for later ones; all runs share one model."""
    settings = load_settings()
    output.check()
    output.set_up_logging(settings.server.log_level)
    from app import bootstrap  # these import heavy libraries, which --help and a wrong setting don't need
    from indexer.fitting import fit_after
    from indexer.plan import Options
    from indexer.run import run_index

    parts = build(settings) if build else bootstrap.build(settings, for_batches=True)
    make_executor = make_executor or _executor_of(engine, settings)
    options = Options(**flags)

    def run() -> None:
        report = run_index(parts, options, output.progress(), stop, make_executor, consent=output.consent)
        output.report(report)
        if fit:
            fit_after(parts, report, stop)

    return run


def _executor_of(engine: EngineName, settings: Settings) -> "MakeExecutor":
    """Raises InvalidSettings when Ray is asked for and not installed."""
    if engine is EngineName.RAY:
        from indexer.ray.executor import ray_executor
        from indexer.ray.workers import WorkerParts

        return ray_executor(WorkerParts.of(settings))
    from indexer.local_executor import LocalExecutor

    return LocalExecutor


def _watch(run: Callable[[], None], schedule: str, output: Output, stop: StopSignal) -> None:
    from indexer.schedule import keep_running, parse_schedule

    def run_once() -> None:
        try:
            run()
        except AppError as error:
            output.error(error)

    keep_running(run_once, parse_schedule(schedule), stop)
