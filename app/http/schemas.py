"""What the answers of several features show in the same way."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from app.http.addresses import Addresses
from app.http.openapi import Schema, utc
from app.types import Hit, Source


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


class ImageResult(Schema):
    """One picture of an answer to a search."""

    image_id: Annotated[str, Field(examples=["9f2c4b1d00aa37e5"])]
    object_key: Annotated[str, Field(examples=["nature/sunset1.jpg"])]
    folder: Annotated[str, Field(examples=["nature"])]
    s3_path: Annotated[str, Field(examples=["s3://image2search/nature/sunset1.jpg"])]
    score: Annotated[
        float,
        Field(description="cosine, higher is better; with fewer hubs the results' order may differ", examples=[0.31]),
    ]
    distance: Annotated[float, Field(description="Euclidean, lower is better, 0 to 2", examples=[1.17])]
    relevance: Annotated[
        float | None,
        Field(description="0 to 1; from 0.5 on the picture may well fit; null: not known", examples=[0.86]),
    ] = None
    words: Annotated[
        float | None,
        Field(description="how well name, folder, caption and tags fit, 0 to 1; null: not searched", examples=[None]),
    ] = None
    parts: Annotated[
        list[float] | None,
        Field(description="with `explain`: what each term, in their order, adds to the score", examples=[None]),
    ] = None
    combined: Annotated[
        float | None,
        Field(description="with `combine: all`: how well it fits all terms; the results' order", examples=[None]),
    ] = None
    stands_for: Annotated[
        int | None,
        Field(description="with `fold_duplicates`: how many files of this photo, this one included", examples=[None]),
    ] = None
    image_url: str
    thumbnail_url: str
    width: Annotated[int, Field(description="pixels, as the picture is shown", examples=[4000])]
    height: Annotated[int, Field(examples=[3000])]
    date: Annotated[datetime, Field(description="when it was taken, or else last modified")]
    caption: str | None = None
    source: SourceInfo | None = None

    @classmethod
    def of(cls, hit: Hit, addresses: Addresses) -> Self:
        record = hit.record
        return cls(
            image_id=record.image_id,
            object_key=record.object_key,
            folder=record.folder,
            s3_path=hit.uri,
            score=hit.score,
            distance=hit.distance,
            relevance=hit.relevance,
            words=hit.words,
            parts=None if hit.parts is None else list(hit.parts),
            combined=hit.combined,
            stands_for=hit.stands_for,
            image_url=addresses.image(hit),
            thumbnail_url=addresses.thumbnail(hit),
            width=record.width,
            height=record.height,
            date=utc(record.date),
            caption=record.caption,
            source=record.source and SourceInfo.of(record.source),
        )
