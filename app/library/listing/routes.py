"""GET /images: the pictures page by page."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from app.http.openapi import problems
from app.http.requests import ViewSource
from app.library.listing.schemas import ImageList, ListQuery
from app.library.listing.service import Listing


async def _listing(request: Request) -> Listing:
    return cast(Listing, request.state.listing)


router = APIRouter(tags=["library"])


@router.head("/images", include_in_schema=False)
@router.get("/images", responses=problems(400, 422, 503))
async def images(
    query: Annotated[ListQuery, Query()],
    request: Request,
    listing: Annotated[Listing, Depends(_listing)],
    view: ViewSource,
) -> ImageList:
    """The indexed pictures, sorted and filtered, a page at a time.

    Follow `next_cursor` until it is null: no picture comes twice and none is left out, even while others come and go.
    """
    return ImageList.of(await listing.page(view(), query.wanted(), query.limit, query.cursor), request)
