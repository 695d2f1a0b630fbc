"""What the answers of several features show in the same way."""

from dataclasses import asdict
from typing import Annotated, Self

from pydantic import Field

from app.http.openapi import Schema
from app.types import Source


class SourceInfo(Schema):
    """Where the picture was fetched from, and who is to be named for it."""

    url: Annotated[str, Field(description="the picture's file", examples=["https://example.org/photos/1234.jpg"])]
    page_url: Annotated[str | None, Field(description="a page that shows it")]
    title: str | None
    creator: Annotated[str | None, Field(examples=["Ann Example"])]
    license: Annotated[str | None, Field(examples=["CC BY 2.0"])]
    license_url: str | None
    attribution: Annotated[str | None, Field(description="the sentence that names creator and licence")]

    @classmethod
    def of(cls, source: Source) -> Self:
        return cls(**asdict(source))
