"""What goes in and out of `POST /api/v1/search/batch`."""

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from app.http.openapi import Schema
from app.search.composed_schemas import ComposedSearch
from app.search.schemas import SearchResult, TextSearch

MAX_SEARCHES: Final = 64
"""Of one batch."""


class BatchSearch(Schema):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"searches": [{"query": "a red car", "k": 3}, {"terms": [{"text": "a beach"}], "sort": "newest"}]}
            ]
        }
    )

    searches: Annotated[
        list[TextSearch | ComposedSearch],
        Field(
            min_length=1,
            max_length=MAX_SEARCHES,
            description="each one as in `/search/text` or `/search`, without URLs",
        ),
    ]


class BatchProblem(Schema):
    """Why one search of a batch has no answer. As a problem document says it."""

    type: Annotated[str, Field(examples=["urn:image2search:problem:folder-not-found"])]
    title: str
    status: Annotated[int, Field(examples=[404])]
    detail: str


class BatchAnswer(Schema):
    """One of `result` and `problem`; the other is null."""

    result: SearchResult | None = None
    problem: BatchProblem | None = None


class BatchResult(Schema):
    answers: Annotated[list[BatchAnswer], Field(description="in the order of the searches")]
