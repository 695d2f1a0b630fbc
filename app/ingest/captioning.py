"""Captions for pictures: which ones a model may write, and what becomes of a picture that it can't describe.

A caption that a person wrote stays, and so does one that a person deleted. A failing captioner costs no picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from PIL import Image

from app.errors import first_line
from app.ingest.embedding import by_halves
from app.models.captioner.base import Captioner
from app.types import PERSON, ImageRecord


@dataclass(frozen=True, slots=True)
class Caption:
    """What a model says of a picture."""

    text: str
    """Empty where it says nothing."""
    by: str
    """As `ImageRecord.caption_by`."""

    def on(self, record: ImageRecord) -> ImageRecord:
        """The record with this caption, unless it has one that stays."""
        return self.instead_of(record) if may_describe(self.by, record) else record

    def instead_of(self, record: ImageRecord) -> ImageRecord:
        """The record with this caption in place of the one that it has."""
        return replace(record, caption=self.text or None, caption_by=self.by)


@dataclass(frozen=True, slots=True)
class NoCaption:
    """The model can't describe the picture."""

    reason: str


Said: TypeAlias = Caption | NoCaption

UNREADABLE = NoCaption("It can't be decoded in the size at which the captioner looks.")


def describe(captioner: Captioner, pictures: Sequence[Image.Image | None]) -> list[Said]:
    """What the captioner says of each picture; None is one that could not be read for it."""
    readable = [image for image in pictures if image is not None]
    found = iter(by_halves(captioner.caption, readable) if readable else [])
    return [_said(next(found), captioner.name) if image is not None else UNREADABLE for image in pictures]


def may_describe(by: str, record: ImageRecord) -> bool:
    """Whether a captioner of this name may write the caption of this picture, and has not done so."""
    return lacks_caption(record) or record.caption_by not in (PERSON, by, None)


def lacks_caption(record: ImageRecord) -> bool:
    """Whether neither a person nor a model has described the picture, and no person has deleted its caption."""
    return record.caption is None and record.caption_by is None


def _said(answer: str | Exception, by: str) -> Said:
    if isinstance(answer, Exception):
        return NoCaption(f"The captioner can't describe it: {first_line(answer)}")
    return Caption(answer, by)
