"""GET /duplicates, and the groups that are not to be shown again."""

from http import HTTPStatus
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from app.http.addresses import Addresses
from app.http.openapi import problems
from app.http.requests import ViewSource, may_change_library, takes, takes_no_parameters
from app.library.duplicates.schemas import Dismiss, DismissalInfo, DuplicateList, DuplicatesQuery
from app.library.duplicates.service import Duplicates


async def _duplicates(request: Request) -> Duplicates:
    return cast(Duplicates, request.state.duplicates)


Finds = Annotated[Duplicates, Depends(_duplicates)]

router = APIRouter(tags=["library"])


@router.head("/duplicates", include_in_schema=False)
@router.get("/duplicates", responses=problems(400, 422, 503))
async def duplicates(
    query: Annotated[DuplicatesQuery, Query()], request: Request, finds: Finds, view: ViewSource
) -> DuplicateList:
    """Groups of duplicates of one kind, each with the picture that we suggest to keep, and why.

    The kinds never mix: pictures of the same bytes count as one picture for `photo`, and copies of one photo for
    `similar`. The first question compares all pictures, which may take a minute with 100,000: 503 until then.
    """
    page = await finds.page(view(), query.wanted(), query.k, query.cursor)
    return DuplicateList.of(page, Addresses(request))


@router.post(
    "/duplicates/dismissals",
    status_code=HTTPStatus.CREATED,
    dependencies=[Depends(may_change_library), Depends(takes("application/json")), Depends(takes_no_parameters)],
    responses=problems(400, 403, 404, 409, 415, 422, 503),
)
async def dismiss(body: Dismiss, finds: Finds, view: ViewSource) -> DismissalInfo:
    """Do not show this group any more. It is shown again when it gets another picture."""
    return DismissalInfo.of(await finds.dismiss(view(), body.kind, body.image_ids))


@router.delete(
    "/duplicates/dismissals/{dismissal_id}",
    status_code=HTTPStatus.NO_CONTENT,
    dependencies=[Depends(may_change_library)],
    responses=problems(403, 404, 409, 503),
)
async def restore(dismissal_id: str, finds: Finds, view: ViewSource) -> None:
    """Show a dismissed group again."""
    await finds.restore(view(), dismissal_id)
