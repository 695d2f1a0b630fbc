"""What people say of a picture: its caption and its tags. No model and no index run replaces either."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.catalog.changes import Changes
from app.catalog.view import View
from app.errors import ImageNotFound, InvalidInput
from app.library.editing.edits import Edit, Edits
from app.types import MAX_TAG_CHARS, PERSON, ImageRecord, row_id

MAX_TAGS: Final = 64
MAX_CAPTION_CHARS: Final = 2000


class Unset:
    """The type of `UNSET`."""


UNSET: Final = Unset()
"""Stays as it is."""


@dataclass(frozen=True, slots=True)
class Words:
    """A new caption, None for none, and new tags."""

    caption: str | Unset | None = UNSET
    tags: tuple[str, ...] | Unset = UNSET

    def of(self, record: ImageRecord) -> ImageRecord:
        """The record with these words."""
        if not isinstance(self.caption, Unset):
            record = replace(record, caption=self.caption, caption_by=PERSON)
        return record if isinstance(self.tags, Unset) else replace(record, tags=self.tags)


def checked_caption(text: str | None) -> str | None:
    """The caption without space around it; None for an empty one. Raises InvalidInput when it is too long."""
    caption = (text or "").strip()
    if len(caption) > MAX_CAPTION_CHARS:
        raise InvalidInput(f"The caption has {len(caption):,} characters; at most {MAX_CAPTION_CHARS:,} are kept.")
    return caption or None


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Each tag once, in the order given, without space around it. Raises InvalidInput."""
    found = dict.fromkeys(unicodedata.normalize("NFC", " ".join(tag.split())) for tag in tags)
    found.pop("", None)
    if len(found) > MAX_TAGS:
        raise InvalidInput(f"A picture has at most {MAX_TAGS} tags; these are {len(found)}.")
    if too_long := next((tag for tag in found if len(tag) > MAX_TAG_CHARS), None):
        raise InvalidInput(f"The tag {too_long[:20]!r}... is too long: at most {MAX_TAG_CHARS} characters.")
    return tuple(found)


class Curating:
    """Changes the words of indexed pictures. For one event loop."""

    def __init__(self, edits: Edits) -> None:
        self._edits = edits

    async def describe(self, image_id: str, words: Words, view: View) -> ImageRecord:
        """The record with its new words, published. `view` is what the caller may see.

        Raises ImageNotFound, Conflict, Overloaded, Unavailable.
        """
        view.record(image_id)

        def plan(current: View | None) -> tuple[Changes, ImageRecord]:
            if current is None:
                raise ImageNotFound(f"The picture {image_id} is no longer in the index.")
            record = current.record(image_id)
            described = words.of(record)
            if described == record:
                return Changes(), record
            vectors = current.vectors_of([row_id(image_id)])
            return Changes(added=(described,), vectors=vectors, copied=True), described

        return await self._edits.make(Edit(frozenset({image_id}), plan))
