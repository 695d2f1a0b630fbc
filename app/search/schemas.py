"""What goes in and out of `/api/v1/search`."""

from typing import Annotated, Literal, Self, TypeVar

from fastapi import UploadFile
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from app.encoder.encoder import Text
from app.http.addresses import Addresses
from app.http.openapi import Schema
from app.http.schemas import ImageResult
from app.ingest.fetching import Url
from app.search.cursors import MAX_CURSOR_CHARS
from app.search.folders import FolderChoice
from app.search.query import MAX_QUERY_CHARS, Fusion, Mode, Query, Sort
from app.search.service import MatchingAnswer, SearchAnswer

MAX_FOLDER_CHARS = 1024
"""S3's longest key."""

MAX_FOLDERS = 30

T = TypeVar("T")


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
Folders = Annotated[
    list[Annotated[str, Field(max_length=MAX_FOLDER_CHARS)]],
    Field(
        max_length=MAX_FOLDERS,
        description="search only in and below these folders; unknown: 404; none, or an empty one: everywhere",
        examples=[["nature", "animals"]],
    ),
]
MinusWords = Annotated[
    bool, Field(strict=True, description='take away what is written as `-word`, `-"two words"` or `not/without ...`')
]


MinRelevance = Annotated[
    float,
    Field(ge=0, le=1, description="leave out less relevant pictures; 0.5 keeps what may well fit", examples=[0.0]),
]
"""In a form, where numbers are texts."""

JsonMinRelevance = Annotated[MinRelevance, Field(strict=True)]

SortBy = Annotated[
    Sort,
    Field(
        description="newest, oldest: the relevant pictures (from `min_relevance`, or 0.5, on) by date; else by score"
    ),
]
FoldDuplicates = Annotated[
    bool, Field(description="show one of each photo, identical and resized files alike; `stands_for` says how many")
]
JsonFoldDuplicates = Annotated[FoldDuplicates, Field(strict=True)]


_CURSOR = "`next_cursor` of an earlier answer, for the next page of that search; with it, send only `k`"

Cursor = Annotated[str | None, Field(min_length=1, max_length=MAX_CURSOR_CHARS, description=_CURSOR)]


class Continued(Schema):
    """A search, or the cursor of one that goes on. What is searched for may be left out with a cursor alone."""

    cursor: Cursor = None

    @field_validator("query", "file", "url", "terms", check_fields=False)
    @classmethod
    def _is_there(cls, value: T, info: ValidationInfo) -> T:
        if not value and not info.data.get("cursor"):
            raise PydanticCustomError("missing", "Field required")
        return value

    @model_validator(mode="after")
    def _sends_only_k_with_a_cursor(self) -> Self:
        if not self.cursor:
            return self
        fields = type(self).model_fields
        other = sorted(
            name
            for name in self.model_fields_set - {"cursor", "k"}
            if getattr(self, name) != fields[name].get_default(call_default_factory=True)
        )
        if other:
            raise ValueError(f"a cursor goes on with its own search: leave out {', '.join(other)}")
        return self


class TextSearch(Continued):
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

    query: Annotated[QueryText | None, Field(validate_default=True)] = None
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
    folders: Folders = Field(default_factory=list)
    minus_words: MinusWords = True
    sort: SortBy = "score"
    fold_duplicates: JsonFoldDuplicates = False

    def to_query(self) -> Query:
        return Query.of(
            *([Text(self.query)] if self.query else []),
            k=self.k,
            folders=(*self.folders, self.folder) if self.folder else tuple(self.folders),
            auto_folder=self.auto_folder,
            minus_words=self.minus_words,
            min_relevance=self.min_relevance,
            mode=self.mode,
            fusion=self.fusion,
            sort=self.sort,
            fold_duplicates=self.fold_duplicates,
            cursor=self.cursor,
        )


class ImageSearch(Continued):
    """A form, `multipart/form-data`."""

    cursor: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "description": _CURSOR, "maxLength": MAX_CURSOR_CHARS, "examples": [""]}),
    ] = ""
    file: Annotated[
        UploadFile | None,
        Field(validate_default=True, json_schema_extra=lambda schema: schema.pop("default")),
        WithJsonSchema(
            {
                "type": "string",
                "contentMediaType": "application/octet-stream",
                "description": "a picture: JPEG, PNG, GIF, BMP, TIFF, WebP, HEIC, AVIF or JPEG 2000",
            }
        ),
    ] = None
    k: Annotated[int, Field(ge=1, le=100, description="how many pictures, at most", examples=[3])] = 5
    folder: Annotated[str, Field(max_length=MAX_FOLDER_CHARS, description=_FOLDER, examples=[""])] = ""
    """A form has no null: clients would send it as the text "None"."""
    min_relevance: MinRelevance = 0
    sort: Annotated[SortBy, Field(examples=["score"])] = "score"
    fold_duplicates: Annotated[FoldDuplicates, Field(examples=[False])] = False


class UrlSearch(Continued):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://example.org/photos/sunset.jpg", "k": 3, "folder": None}]}
    )

    url: Annotated[Url | None, Field(validate_default=True)] = None
    k: Count = 5
    folder: Folder = None
    min_relevance: JsonMinRelevance = 0
    sort: SortBy = "score"
    fold_duplicates: JsonFoldDuplicates = False


class SearchedFolder(Schema):
    path: Annotated[str, Field(examples=["nature"])]
    source: Literal["asked", "detected"]
    words: Annotated[list[str], Field(description="the words of the query that named it", examples=[["nature"]])]
    also: Annotated[list[str], Field(description="further folders, searched too")]
    embedded_text: Annotated[str | None, Field(description="the text that was left to look for")]
    widened: Annotated[
        bool,
        Field(description="everything was searched: the folder was only detected, and only pictures elsewhere fit"),
    ] = False

    @classmethod
    def of(cls, choice: FolderChoice | None) -> Self | None:
        if choice is None:
            return None
        return cls(
            path=choice.path,
            source=choice.source,
            words=list(choice.words),
            also=list(choice.also),
            embedded_text=choice.embedded_text,
            widened=choice.widened,
        )


class UnderstoodText(Schema):
    """A text with minus words, as it was read."""

    text: Annotated[str, Field(description="what was looked for", examples=["a beach"])]
    minus: Annotated[list[str], Field(description="what was taken away", examples=[["people"]])]


class SearchResult(Schema):
    results: list[ImageResult]
    folder: SearchedFolder | None
    good_match: Annotated[
        bool | None, Field(description="false: nothing that was found fits the query; null: not known", examples=[True])
    ] = None
    note: Annotated[
        str | None, Field(description="what to know of how it was searched; null: nothing", examples=[None])
    ] = None
    understood: Annotated[
        UnderstoodText | None, Field(description="how minus words were read; null: there were none")
    ] = None
    next_cursor: Annotated[
        str | None, Field(description="send it as `cursor` for the next page; null: this is the last one")
    ] = None
    generation: str
    took_ms: float

    @classmethod
    def of(cls, answer: SearchAnswer, request: Request) -> Self:
        addresses = Addresses(request)
        results = [ImageResult.of(hit, addresses) for hit in answer.hits]
        return cls(
            results=results,
            folder=SearchedFolder.of(answer.folder),
            good_match=answer.good_match,
            note=answer.note,
            understood=_understood(answer),
            next_cursor=answer.next_cursor,
            generation=answer.generation,
            took_ms=answer.took_ms,
        )


def _understood(answer: SearchAnswer) -> UnderstoodText | None:
    read = answer.understood
    return UnderstoodText(text=read.text, minus=list(read.minus)) if read else None


class FolderMatches(Schema):
    path: Annotated[str, Field(examples=["nature/beach"])]
    count: Annotated[int, Field(description="pictures that fit in the folder itself, those below not counted")]


class MatchingPictures(Schema):
    """All pictures that fit a search, for counting and selecting."""

    image_ids: Annotated[list[str], Field(description="the best first")]
    folders: Annotated[list[FolderMatches], Field(description="where they lie, the fullest first")]
    is_whole: Annotated[
        bool, Field(description="false: only the best 10,000 pictures were looked at, and more may fit")
    ]
    folder: SearchedFolder | None
    note: Annotated[
        str | None, Field(description="what to know of how it was searched; null: nothing", examples=[None])
    ] = None
    generation: str
    took_ms: float

    @classmethod
    def of(cls, answer: MatchingAnswer) -> Self:
        return cls(
            image_ids=[record.image_id for record in answer.records],
            folders=[FolderMatches(path=path, count=count) for path, count in answer.folders],
            is_whole=answer.is_whole,
            folder=SearchedFolder.of(answer.folder),
            note=answer.note,
            generation=answer.generation,
            took_ms=answer.took_ms,
        )
