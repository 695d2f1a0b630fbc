"""Download random pictures from picsum.photos, so that there are pictures to search.

    python scripts/get_images.py 100 --out images --size 640x480

Picture i of a seed is always the same picture with the same file name, so a second run downloads only missing pictures.
A file gets its final name only after it is complete and decodes as a picture.
"""

import io
import os
import random
import re
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import typer
from PIL import Image, UnidentifiedImageError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

BASE_URL = "https://picsum.photos"
MAX_BYTES = 50 << 20
MAX_SIDE = 5000
"""Pixels; the limit of picsum.photos."""
MAX_BACKOFF_S = 30.0
RETRIED_STATUSES = {408, 425, 429, 500, 502, 503, 504}
CHUNK_BYTES = 1 << 16
USER_AGENT = "image2search-get-images"


class PictureFailed(Exception):
    """This picture can't be downloaded; others may."""


class RunFailed(Exception):
    """No picture can be downloaded: there is no network, or the folder can't be written."""


class Stopped(Exception):
    """The run was interrupted."""


@dataclass(frozen=True)
class Picture:
    url: str
    path: Path


@dataclass
class Summary:
    downloaded: int = 0
    present: int = 0
    failed: list[str] = field(default_factory=list)
    """The reasons, one sentence for each picture."""


@dataclass(frozen=True)
class Downloader:
    """Downloads one picture at a time; the workers share it."""

    timeout_s: float
    attempts: int
    backoff_s: float
    stop: threading.Event = field(default_factory=threading.Event)
    writing: threading.Lock = field(default_factory=threading.Lock)

    def fetch(self, picture: Picture) -> None:
        """Download the picture to its path. Raises PictureFailed, RunFailed, Stopped."""
        data = self._read_patiently(picture.url)
        check_picture(data, picture.url)
        with self.writing:
            if self.stop.is_set():
                raise Stopped
            self._write(data, picture.path)

    def _write(self, data: bytes, path: Path) -> None:
        partial = path.with_name(f".{path.name}.part")
        try:
            partial.write_bytes(data)
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise RunFailed(f"Can't write {path} ({error.strerror}). Free some space or name another --out.") from error

    def _read_patiently(self, url: str) -> bytes:
        for attempt in range(1, self.attempts + 1):
            last = attempt == self.attempts
            try:
                return self._read(url)
            except HTTPError as error:
                error.close()
                if last or error.code not in RETRIED_STATUSES:
                    raise PictureFailed(f"{url} answers {error.code} {error.reason}") from error
            except (URLError, OSError) as error:
                if last:
                    reason = error.reason if isinstance(error, URLError) else error
                    raise RunFailed(
                        f"Can't reach {_origin(url)} ({reason}). Check the internet connection and run this again: "
                        f"it continues where it stopped."
                    ) from error
            except HTTPException as error:
                if last:
                    raise PictureFailed(f"{url} stops in the middle of the picture") from error
            self._pause(attempt)
        raise AssertionError("attempts is at least 1")

    def _read(self, url: str) -> bytes:
        body = bytearray()
        with urlopen(Request(url, headers={"User-Agent": USER_AGENT}), timeout=self.timeout_s) as response:
            while chunk := response.read(CHUNK_BYTES):
                if self.stop.is_set():
                    raise Stopped
                body += chunk
                if len(body) > MAX_BYTES:
                    raise PictureFailed(f"{url} is larger than {MAX_BYTES} bytes")
            missing = response.length
        if missing:
            raise HTTPException(f"{missing} bytes are missing")
        return bytes(body)

    def _pause(self, attempt: int) -> None:
        """Wait before the next attempt. The time doubles with each attempt; jitter keeps the workers out of step."""
        delay_s = min(MAX_BACKOFF_S, self.backoff_s * 2 ** (attempt - 1)) * random.uniform(0.5, 1)
        if self.stop.wait(delay_s):
            raise Stopped


def check_picture(data: bytes, url: str) -> None:
    """Decode the whole picture. Raises PictureFailed when it is no JPEG or is damaged."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.load()
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise PictureFailed(f"{url} is no JPEG picture, or a damaged one") from error


def make_folder(out: Path) -> None:
    """Make the folder if it does not exist. Raises RunFailed."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFailed(f"Can't make the folder {out} ({error.strerror}). Name another one with --out.") from error


def plan(count: int, out: Path, size: tuple[int, int], seed: str, base_url: str) -> list[Picture]:
    """The first `count` pictures of `seed`. A larger count begins with the same pictures."""
    width, height = size
    return [
        Picture(
            f"{base_url.rstrip('/')}/seed/{quote(f'{seed}-{number}')}/{width}/{height}",
            out / f"{seed}-{number:05d}-{width}x{height}.jpg",
        )
        for number in range(count)
    ]


def fetch_all(pictures: list[Picture], downloader: Downloader, workers: int, console: Console) -> Summary:
    """Download the missing pictures. After RunFailed or KeyboardInterrupt, workers may still wait for the network."""
    missing = [picture for picture in pictures if not picture.path.exists()]
    summary = Summary(present=len(pictures) - len(missing))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="download")
    try:
        with _progress(console, len(missing)) as advance:
            for future in _finished([pool.submit(downloader.fetch, picture) for picture in missing]):
                _count(future, summary)
                advance()
    finally:
        downloader.stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
    return summary


def _finished(futures: list[Future[None]]) -> Iterator[Future[None]]:
    pending = set(futures)
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        yield from done


def _count(future: Future[None], summary: Summary) -> None:
    try:
        future.result()
    except PictureFailed as error:
        summary.failed.append(str(error))
    else:
        summary.downloaded += 1


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal. Elsewhere nothing: the summary is enough."""
    columns = (TextColumn("downloading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal or not total) as progress:
        task = progress.add_task("downloading", total=total)
        yield lambda: progress.advance(task)


def _parse_size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and all(1 <= int(side) <= MAX_SIDE for side in (width, height))):
        raise typer.BadParameter(f"{text!r} is no size. Write WIDTHxHEIGHT, each 1 to {MAX_SIDE}, like 640x480.")
    return int(width), int(height)


def _check_base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise typer.BadParameter(f"{text!r} is no web address. Write one like {BASE_URL}.")
    return text


def _check_seed(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise typer.BadParameter(f"{text!r} can't be part of a file name. Use letters, digits, '-' and '_'.")
    return text


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _leave(downloader: Downloader, code: int) -> NoReturn:
    """End the process at once, even if workers wait for the network, and leave no half-written file."""
    downloader.stop.set()
    with downloader.writing:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main(
    count: Annotated[int, typer.Argument(min=1, help="how many pictures")],
    out: Annotated[Path, typer.Option(help="folder for the pictures")] = Path("images"),
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels")] = "640x480",
    seed: Annotated[
        str,
        typer.Option(callback=_check_seed, help="chooses the random pictures; the same seed gives the same pictures"),
    ] = "1",
    workers: Annotated[int, typer.Option(min=1, max=64, help="downloads at the same time")] = 8,
    base_url: Annotated[str, typer.Option(callback=_check_base_url, help="address of the picture service")] = BASE_URL,
    timeout_s: Annotated[float, typer.Option(min=0.1, help="seconds to wait for an answer")] = 30.0,
    attempts: Annotated[int, typer.Option(min=1, help="attempts for one picture, including the first")] = 4,
    backoff_s: Annotated[float, typer.Option(min=0, help="seconds before the second attempt; doubled each time")] = 0.5,
) -> None:
    """Download COUNT random pictures. Run it again to continue, or with a larger COUNT to get more."""
    console, errors = Console(), Console(stderr=True)
    downloader = Downloader(timeout_s, attempts, backoff_s)
    pictures = plan(count, out, _parse_size(size), seed, base_url)
    try:
        make_folder(out)
        summary = fetch_all(pictures, downloader, workers, console)
    except RunFailed as error:
        errors.print(str(error), style="red", soft_wrap=True, highlight=False, markup=False)
        _leave(downloader, 1)
    except KeyboardInterrupt:
        errors.print("Stopped. Run this again to go on.", soft_wrap=True)
        _leave(downloader, 130)
    for reason in summary.failed:
        errors.print(f"Left out: {reason}", soft_wrap=True, highlight=False, markup=False)
    console.print(
        f"{summary.downloaded} downloaded, {summary.present} already there, {len(summary.failed)} failed; in {out}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    raise typer.Exit(1 if summary.failed else 0)


if __name__ == "__main__":
    typer.run(main)
