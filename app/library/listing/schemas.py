"""What goes in and out of `GET /api/v1/images`."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field
from starlette.requests import Request

from app.http.addresses import Addresses
from app.http.filters import PictureFilters
from app.http.openapi import Schema
from app.library.listing.service import Page, PictureList, Sort
from app.library.schemas import ImageInfo

MAX_PAGE = 500

_MAX_CURSOR_CHARS = 6000


class ListQuery(PictureFilters):
    """The query string of a list."""

    sort: Annotated[Sort, Field(description="`date`: when it was taken, or else last modified")] = Sort.KEY
    order: Annotated[Literal["asc", "desc"], Field(description="`desc`: newest or last first")] = "asc"
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, description="how many pictures, at most")] = 50
    cursor: Annotated[
        str | None,
        Field(max_length=_MAX_CURSOR_CHARS, description="`next_cursor` of the page before, with the same parameters"),
    ] = None

    def wanted(self) -> PictureList:
        return PictureList(self.filters(), self.sort, self.order == "desc")


class ImageList(Schema):
    model_config = ConfigDict(json_schema_extra={"description": "One page. The next one is asked for by its cursor."})

    images: list[ImageInfo]
    count: Annotated[int, Field(description="how many pictures fit the filters", examples=[1234])]
    next_cursor: Annotated[str | None, Field(description="null on the last page")]
    generation: str

    @classmethod
    def of(cls, page: Page, request: Request) -> Self:
        addresses = Addresses(request)
        return cls(
            images=[ImageInfo.of(hit, addresses) for hit in page.hits],
            count=page.count,
            next_cursor=page.next_cursor,
            generation=page.generation,
        )
