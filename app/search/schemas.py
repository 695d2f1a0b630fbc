"""What goes in and out of `/api/v1/search`."""

from typing import Annotated, Literal, Self

from fastapi import UploadFile
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from starlette.requests import Request

from app.http.addresses import Addresses
from app.http.openapi import Schema
from app.http.schemas import SourceInfo
from app.ingest.fetching import Url
from app.search.hybrid import Fusion
from app.search.service import MAX_QUERY_CHARS, Mode, SearchAnswer
from app.types import Hit

MAX_FOLDER_CHARS = 1024
"""S3's longest key."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("say what to look for; it can't be empty")
    return text


def _whole(number: object) -> object:
    """JSON has one kind of number: `5.0` is the integer 5."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


QueryText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_QUERY_CHARS,
        description="what to look for, in words",
        json_schema_extra={"pattern": r"\S"},
    ),
    AfterValidator(_not_blank),
]
_FOLDER = "search only in and below this folder; unknown: 404; empty: everywhere"

Count = Annotated[
    int, Field(ge=1, le=100, strict=True, description="how many pictures, at most"), BeforeValidator(_whole)
]
Folder = Annotated[str | None, Field(max_length=MAX_FOLDER_CHARS, description=_FOLDER)]


MinRelevance = Annotated[
    float,
    Field(ge=0, le=1, description="leave out less relevant pictures; 0.5 keeps what may well fit", examples=[0.0]),
]
"""In a form, where numbers are texts."""

JsonMinRelevance = Annotated[MinRelevance, Field(strict=True)]


class TextSearch(Schema):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "red car in the city", "k": 3},
                {"query": "show me nature photos"},
                {"query": "IMG_2041", "mode": "hybrid"},
                {"query": "a dog at the beach", "k": 10, "folder": None, "auto_folder": False},
            ]
        }
    )

    query: QueryText
    k: Count = 5
    folder: Folder = None
    auto_folder: Annotated[bool, Field(strict=True, description="search only where the query points at")] = True
    min_relevance: JsonMinRelevance = 0
    mode: Annotated[
        Mode,
        Field(
            description="vector: what the pictures show; words: names, folders, captions and tags; hybrid: both, with "
            "pictures that are called like the query first"
        ),
    ] = "vector"
    fusion: Annotated[
        Fusion, Field(description="for hybrid, scores: relevance and words added up; ranks: reciprocal rank fusion")
    ] = "scores"


class ImageSearch(Schema):
    """A form, `multipart/form-data`."""

    file: Annotated[
        UploadFile, Field(description="a picture: JPEG, PNG, GIF, BMP, TIFF, WebP, HEIC, AVIF or JPEG 2000")
    ]
    k: Annotated[int, Field(ge=1, le=100, description="how many pictures, at most", examples=[3])] = 5
    folder: Annotated[str, Field(max_length=MAX_FOLDER_CHARS, description=_FOLDER, examples=[""])] = ""
    """A form has no null: clients would send it as the text "None"."""
    min_relevance: MinRelevance = 0


class UrlSearch(Schema):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://example.org/photos/sunset.jpg", "k": 3, "folder": None}]}
    )

    url: Url
    k: Count = 5
    folder: Folder = None
    min_relevance: JsonMinRelevance = 0


class ImageResult(Schema):
    image_id: Annotated[str, Field(examples=["9f2c4b1d00aa37e5"])]
    object_key: Annotated[str, Field(examples=["nature/sunset1.jpg"])]
    folder: Annotated[str, Field(examples=["nature"])]
    s3_path: Annotated[str, Field(examples=["s3://image2search/nature/sunset1.jpg"])]
    score: Annotated[float, Field(description="cosine, higher is better", examples=[0.31])]
    distance: Annotated[float, Field(description="Euclidean, lower is better, 0 to 2", examples=[1.17])]
    relevance: Annotated[
        float | None,
        Field(description="0 to 1; from 0.5 on the picture may well fit; null: not known", examples=[0.86]),
    ] = None
    words: Annotated[
        float | None,
        Field(description="how well name, folder, caption and tags fit, 0 to 1; null: not searched", examples=[None]),
    ] = None
    image_url: str
    thumbnail_url: str
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
            image_url=addresses.image(hit),
            thumbnail_url=addresses.thumbnail(hit),
            caption=record.caption,
            source=record.source and SourceInfo.of(record.source),
        )


class SearchedFolder(Schema):
    path: Annotated[str, Field(examples=["nature"])]
    source: Literal["asked", "detected"]
    words: Annotated[list[str], Field(description="the words of the query that named it", examples=[["nature"]])]
    also: Annotated[list[str], Field(description="further folders of the same name, searched too")]
    embedded_text: Annotated[str | None, Field(description="the text that was left to look for")]


class SearchResult(Schema):
    results: list[ImageResult]
    folder: SearchedFolder | None
    good_match: Annotated[
        bool | None, Field(description="false: nothing that was found fits the query; null: not known", examples=[True])
    ] = None
    note: Annotated[
        str | None, Field(description="what to know of how it was searched; null: nothing", examples=[None])
    ] = None
    next_cursor: str | None = None
    generation: str
    took_ms: float

    @classmethod
    def of(cls, answer: SearchAnswer, request: Request) -> Self:
        choice = answer.folder
        folder = choice and SearchedFolder(
            path=choice.path,
            source=choice.source,
            words=list(choice.words),
            also=list(choice.also),
            embedded_text=choice.embedded_text,
        )
        addresses = Addresses(request)
        results = [ImageResult.of(hit, addresses) for hit in answer.hits]
        return cls(
            results=results,
            folder=folder,
            good_match=answer.good_match,
            note=answer.note,
            generation=answer.generation,
            took_ms=answer.took_ms,
        )
