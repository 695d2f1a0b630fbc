"""Results that go into the library: the file, its name, and what is said of it there."""

import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from app.encoder.workers import Workers
from app.errors import AppError
from app.generation.jobs import Generation, Result
from app.generation.ledger import Ledger
from app.http.problems import reason_of
from app.types import MAX_TAG_CHARS, ImageRecord

TAG: Final = "generated"
"""Of every generated picture in the library, beside the name of its model."""

MAX_NAME_CHARS: Final = 60
MAX_CAPTION_CHARS: Final = 2000


@dataclass(frozen=True, slots=True)
class GeneratedPicture:
    """A result as the library gets it."""

    data: bytes
    name: str
    folder: str
    caption: str
    """The prompt: a person's words for what the picture shows."""
    tags: tuple[str, ...]


AddToLibrary: TypeAlias = Callable[[GeneratedPicture], Awaitable[ImageRecord]]
"""Stores and indexes the picture. The folder is checked already. Raises AppError."""


class Saving:
    """Puts results into folders of the library."""

    def __init__(self, ledger: Ledger, workers: Workers, add: AddToLibrary) -> None:
        self._ledger = ledger
        self._workers = workers
        self._add = add

    async def save(self, generation: Generation, folder: str, results: Iterable[Result]) -> list[Result]:
        """The results with their places in the library. Raises what `add` raises, and ObjectNotFound."""
        return [await self._save_one(generation, folder, result) for result in results]

    async def try_save(self, generation: Generation, folder: str, results: Iterable[Result]) -> list[Result]:
        """As `save`; a result that can't be saved says why."""
        tried: list[Result] = []
        for result in results:
            try:
                tried += await self.save(generation, folder, [result])
            except AppError as error:
                tried.append(replace(result, save_error=reason_of(error)))
        return tried

    async def _save_one(self, generation: Generation, folder: str, result: Result) -> Result:
        picture = GeneratedPicture(
            await self._workers.run(self._ledger.png, generation.id, result.number),
            f"{_name_of(generation.request.prompt)}-{result.seed}.png",
            folder,
            generation.request.prompt[:MAX_CAPTION_CHARS],
            (TAG, *([generation.model[:MAX_TAG_CHARS]] if generation.model else [])),
        )
        record = await self._add(picture)
        return replace(result, image_id=record.image_id, object_key=record.object_key, save_error=None)


def _name_of(prompt: str) -> str:
    """The prompt's first words as a file name."""
    words = re.findall(r"\w+", unicodedata.normalize("NFC", prompt).lower())
    return "-".join(words)[:MAX_NAME_CHARS].rstrip("-_") or TAG
