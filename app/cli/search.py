"""`image2search search`: one search without a service. Results go to stdout, all else to stderr."""

import asyncio
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.bootstrap import build, check_index, running
from app.encoder.encoder import Text
from app.errors import AppError, IndexCorrupt, IndexNotReady, InvalidSettings
from app.folder_cache import bring_up_to_date, remake, settings_for
from app.local import as_term
from app.models.advice import IN_SHORT, is_sample, knows_drawings_only
from app.printable import printable, printable_json
from app.search.folders import FolderChoice
from app.search.minus_words import Understood
from app.search.query import Query
from app.search.service import SearchAnswer
from app.settings import Settings, StorageSettings, load_settings
from app.storage.urls import folder_of_url, scheme_of
from app.types import Hit


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    query: str
    k: int
    folder: str
    auto_folder: bool
    minus_words: bool = True
    images_dir: Path | None = None
    """The folder to search; None for the index of STORAGE_URL."""


@dataclass(frozen=True)
class Found:
    """A picture, where it is as the person has named the place, and its score."""

    path: str
    hit: Hit


def search(request: Request, write: Callable[[list[Found], SearchAnswer], None], tell: Callable[[str], None]) -> None:
    """Search, `write` the results and `tell` the person what they should know besides.

    Raises AppError; CalledProcessError and KeyboardInterrupt as `run_indexer`.
    """
    settings = load_settings()
    query = _query_of(request, settings)
    was_indexed = False
    if request.images_dir is None:
        check_place(settings)
    else:
        settings = settings_for(request.images_dir, settings)
        was_indexed = bring_up_to_date(settings)
    answer = _answer(settings, query, can_remake=request.images_dir is not None)
    if answer.folder and answer.folder.source == "detected":
        tell(_what_was_searched(answer.folder))
    if answer.understood:
        tell(_what_was_taken_away(answer.understood))
    if answer.note and not (answer.folder and answer.folder.widened):
        tell(answer.note)
    if not answer.hits:
        tell("Nothing was found: the index has no pictures.")
    if not was_indexed and _is_guesswork(settings, answer):
        tell(IN_SHORT)
    with writing():
        write([Found(_path_of(hit, settings, request.images_dir), hit) for hit in answer.hits], answer)


@contextmanager
def writing() -> Iterator[None]:
    """Raises AppError where results can't be written, and BrokenPipeError, at which typer ends the program quietly."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for terminals that do not show every name
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise AppError(f"The results can't be written: {error.strerror}.") from error


def write_lines(found: list[Found], answer: SearchAnswer) -> None:
    """One line a picture, as long as it is."""
    for each in found:
        print(f"{each.hit.score:.3f} — {printable(each.path)}")  # noqa: T201 - the command's output


def write_paths(found: list[Found], answer: SearchAnswer) -> None:
    """The paths alone, each followed by a zero byte, for `xargs -0`."""
    sys.stdout.flush()
    sys.stdout.buffer.write(b"".join(os.fsencode(each.path) + b"\0" for each in found))


def write_json(found: list[Found], answer: SearchAnswer) -> None:
    """One object, with names as in the service's answers."""
    results = [
        {
            "path": each.path,
            "score": each.hit.score,
            "distance": each.hit.distance,
            "image_id": each.hit.record.image_id,
            "object_key": each.hit.record.object_key,
            "folder": each.hit.record.folder,
        }
        for each in found
    ]
    document = json.dumps({"results": results, "folder": _folder_fields(answer.folder)}, ensure_ascii=False, indent=2)
    print(printable_json(document.encode()).decode())  # noqa: T201 - the command's output


def check_place(settings: Settings) -> None:
    """Raises InvalidSettings for a person who has not said yet where their pictures are."""
    url = settings.storage.url
    if url == StorageSettings.model_fields["url"].default and not folder_of_url(url).is_dir():
        raise InvalidSettings(
            "There are no pictures to search yet. Name a folder with --images-dir, or set STORAGE_URL and run "
            "`image2search index`, or run `image2search demo`."
        )


def _query_of(request: Request, settings: Settings) -> Query:
    """Raises InvalidInput."""
    term = as_term(request.query, settings.image.max_bytes)
    auto_folder = request.auto_folder and isinstance(term, Text)
    return Query.of(
        term,
        k=request.k,
        folders=(request.folder,) if request.folder else (),
        auto_folder=auto_folder,
        minus_words=request.minus_words,
    )


def _answer(settings: Settings, query: Query, *, can_remake: bool) -> SearchAnswer:
    try:
        return search_once(settings, query)
    except IndexNotReady:
        if not can_remake:
            raise
        remake(settings)
        return search_once(settings, query)


def search_once(settings: Settings, query: Query) -> SearchAnswer:
    """What the service answers. Raises AppError."""
    parts = build(settings)
    with suppress(IndexCorrupt):  # `running` says where it is damaged
        check_index(parts)

    async def ask() -> SearchAnswer:
        async with running(parts) as state:
            return await state["search"].search(query, state["current_view"]())

    return asyncio.run(ask())


def _is_guesswork(settings: Settings, answer: SearchAnswer) -> bool:
    """Whether the demo model has found other pictures than the samples."""
    records = [hit.record for hit in answer.hits]
    return knows_drawings_only(settings.model) and not all(
        is_sample(record.object_key, record.size_bytes) for record in records
    )


def _path_of(hit: Hit, settings: Settings, images_dir: Path | None) -> str:
    """Below the folder as it was named; the address of an object in a bucket."""
    if images_dir is None and scheme_of(settings.storage.url) != "file":
        return hit.uri
    folder = images_dir or folder_of_url(settings.storage.url)
    return str(folder / hit.record.object_key)


def _what_was_searched(folder: FolderChoice) -> str:
    if folder.widened:
        return f"Searched everywhere for '{folder.embedded_text}'. --folder {folder.path!r} searches only there."
    return (
        f"Searched {' and '.join(folder.paths)} for '{folder.embedded_text}': the query points at that folder with "
        f"'{' '.join(folder.words)}'. --no-auto-folder searches everywhere."
    )


def _what_was_taken_away(understood: Understood) -> str:
    minus = " and ".join(f"'{phrase}'" for phrase in understood.minus)
    return f"Looked for '{understood.text}' without {minus}. --no-minus-words takes all words as they are."


def _folder_fields(folder: FolderChoice | None) -> dict[str, Any] | None:
    if folder is None:
        return None
    return {
        "path": folder.path, "source": folder.source, "words": list(folder.words), "also": list(folder.also),
        "widened": folder.widened,
    }  # fmt: skip
