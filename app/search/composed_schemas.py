"""What goes into `POST /api/v1/search`: any number of terms, each with a signed weight."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final, Self

import numpy as np
from pydantic import ConfigDict, Field, field_validator, model_validator

from app.encoder.encoder import IndexedPicture, PictureFile, RawVector, Term, Text
from app.errors import InvalidImage
from app.http.filters import Conditions
from app.http.openapi import Schema
from app.ingest.fetching import Url
from app.search.query import MAX_TERMS, MAX_WEIGHT, Combine, Fusion, Mode, Query, Weighted
from app.search.schemas import (
    Continued,
    Count,
    Folders,
    JsonFoldDuplicates,
    JsonMinRelevance,
    MinRelevance,
    MinusWords,
    QueryText,
    SortBy,
)
from app.settings import ImageSettings

MAX_DIMENSION: Final = 8192
"""Numbers of a vector. No known model has as many."""

TINIEST: Final = 1e-300
"""A vector's largest number is made 1, so that no length overflows; smaller ones than this are taken for 0."""

OTHER_JSON_BYTES: Final = 4 << 20
"""Besides pictures: 16 vectors as JSON."""


def max_body_bytes(images: ImageSettings) -> int:
    """Of a request: all its pictures together may be as large as one may be, in base64."""
    return images.max_bytes * 4 // 3 + OTHER_JSON_BYTES


class SearchTerm(Schema):
    """Something to search for, or to take away. Exactly one of `text`, `image_id`, `image`, `url` and `vector`."""

    text: QueryText | None = None
    image_id: Annotated[
        str | None, Field(max_length=64, description="a picture of the library", examples=["9f2c4b1d00aa37e5"])
    ] = None
    image: Annotated[
        str | None, Field(min_length=1, description="a picture file in base64, also as a `data:` address")
    ] = None
    url: Url | None = None
    vector: Annotated[
        list[Annotated[float, Field(allow_inf_nan=False)]] | None,
        Field(min_length=1, max_length=MAX_DIMENSION, description="of the model of the index, of any length but zero"),
    ] = None
    weight: Annotated[
        float,
        Field(
            ge=-MAX_WEIGHT,
            le=MAX_WEIGHT,
            allow_inf_nan=False,
            description="what it counts, not 0; negative: taken away from the others",
            examples=[1.0],
        ),
    ] = 1.0
    exclude: Annotated[
        bool, Field(strict=True, description="take it away, and leave out pictures that are relevant to it")
    ] = False

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        given = [name for name in _KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(_KINDS)}; this term has {' and '.join(given) or 'none of them'}")
        if not self.weight:
            raise ValueError("a weight of 0 counts nothing: leave the term out")
        return self

    def weighted(self, fetched: Mapping[str, bytes]) -> Weighted:
        """`fetched` are the picture files by address. Raises InvalidImage."""
        return Weighted(self._term(fetched), self.weight, self.exclude)

    def _term(self, fetched: Mapping[str, bytes]) -> Term:
        if self.text is not None:
            return Text(self.text)
        if self.image_id is not None:
            return IndexedPicture(self.image_id)
        if self.image is not None:
            return PictureFile(_decoded(self.image))
        if self.url is not None:
            return PictureFile(fetched[self.url])
        numbers = np.array(self.vector, np.float64)
        return RawVector((numbers / max(np.abs(numbers).max(), TINIEST)).astype(np.float32))


_KINDS: Final = ("text", "image_id", "image", "url", "vector")


def _decoded(encoded: str) -> bytes:
    """Raises InvalidImage."""
    data = encoded.partition(",")[2] if encoded.startswith("data:") else encoded
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidImage("The picture is not base64. Send its bytes in base64, or a `data:` address.") from error


class SearchConditions(Conditions):
    """Only pictures that fit everything that is given are searched. Without a time zone, times are in UTC."""

    caption: Annotated[
        str, Field(max_length=200, description="with all of these words in the caption", examples=["red car"])
    ] = ""

    @field_validator("min_bytes", "max_bytes", "min_pixels", "max_pixels", mode="before")
    @classmethod
    def _is_number(cls, value: object) -> object:
        """An address can only hold texts, so `Conditions` reads them as numbers. JSON has numbers."""
        if isinstance(value, bool | str):
            raise ValueError("give a number, without quotation marks")
        return value

    @field_validator("date_from", "date_to", "modified_from", "modified_to", "added_from", "added_to", mode="before")
    @classmethod
    def _is_date(cls, value: object) -> object:
        if isinstance(value, int | float):
            raise ValueError("give a date as in 2024-05-01, or a date and time")
        return value


class _Composed(Schema):
    """The fields that `/search` and `/search/matches` share."""

    terms: list[SearchTerm] | None = None
    combine: Annotated[
        Combine, Field(description="sum: the terms are added up; all: a picture has to fit all of them")
    ] = "sum"
    folders: Folders = Field(default_factory=list)
    auto_folder: Annotated[
        bool, Field(strict=True, description="where a text is the only plus term: search only where it points at")
    ] = False
    filters: SearchConditions = Field(default_factory=SearchConditions)
    min_relevance: JsonMinRelevance = 0
    mode: Annotated[Mode, Field(description="as in /search/text; words are those of the plus terms")] = "vector"
    fusion: Fusion = "scores"
    leave_out_queried: Annotated[
        bool, Field(strict=True, description="leave out the pictures among the terms themselves")
    ] = False
    minus_words: MinusWords = False
    fold_duplicates: JsonFoldDuplicates = False

    @property
    def urls(self) -> list[str]:
        """The addresses of pictures, each once."""
        return list(dict.fromkeys(term.url for term in self.terms or () if term.url is not None))

    def query(self, fetched: Mapping[str, bytes]) -> Query:
        """`fetched` are the picture files by address. Raises InvalidImage."""
        return Query(
            tuple(term.weighted(fetched) for term in self.terms or ()),
            folders=tuple(self.folders),
            auto_folder=self.auto_folder,
            filters=self.filters.filters(),
            caption=self.filters.caption.strip(),
            min_relevance=self.min_relevance,
            mode=self.mode,
            fusion=self.fusion,
            combine=self.combine,
            leave_out_queried=self.leave_out_queried,
            minus_words=self.minus_words,
            fold_duplicates=self.fold_duplicates,
        )


_Terms = Annotated[list[SearchTerm], Field(min_length=1, max_length=MAX_TERMS)]


class ComposedSearch(_Composed, Continued):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"terms": [{"text": "a beach"}, {"text": "people", "weight": -0.3}], "k": 3},
                {
                    "terms": [{"image_id": "9f2c4b1d00aa37e5"}, {"text": "at night", "weight": 0.5}],
                    "combine": "all",
                    "leave_out_queried": True,
                },
                {
                    "terms": [{"text": "a red car"}, {"text": "a truck", "exclude": True}],
                    "folders": ["vehicles", "city"],
                    "filters": {"format": ["jpeg"], "date_from": "2024-05-01"},
                    "explain": True,
                },
            ]
        }
    )

    terms: Annotated[_Terms | None, Field(validate_default=True, description="in any order")] = None
    k: Count = 5
    explain: Annotated[bool, Field(strict=True, description="say what each term adds to each score")] = False
    sort: SortBy = "score"

    def query(self, fetched: Mapping[str, bytes]) -> Query:
        query = super().query(fetched)
        return replace(query, k=self.k, explain=self.explain, sort=self.sort, cursor=self.cursor)


class MatchingSearch(_Composed):
    """As `POST /search`, without `k`, `cursor`, `sort` and `explain`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"terms": [{"text": "a dog"}]}, {"terms": [{"text": "IMG_2041"}], "mode": "words"}]
        }
    )

    terms: Annotated[_Terms, Field(description="in any order")]
    min_relevance: Annotated[
        MinRelevance,
        Field(
            strict=True,
            description="leave out less relevant pictures; 0: all that may well fit, by relevance (0.5) or words",
        ),
    ] = 0
    fold_duplicates: Annotated[
        bool, Field(strict=True, description="name one file of each photo: identical and resized files show the same")
    ] = False
