"""POST /search/text and /search/image."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request

from app.http.openapi import problems
from app.http.requests import ServicesDep, takes, takes_no_parameters
from app.search.schemas import ImageSearch, SearchResult, TextSearch

router = APIRouter(prefix="/search", tags=["search"], dependencies=[Depends(takes_no_parameters)])


@router.post(
    "/text", dependencies=[Depends(takes("application/json"))], responses=problems(400, 404, 413, 415, 422, 503)
)
async def search_text(body: TextSearch, request: Request, services: ServicesDep) -> SearchResult:
    """Find pictures by words. A folder's name among the words limits the search to it, if `auto_folder`."""
    answer = await services.search.search_text(
        body.query, body.k, folder=body.folder or "", auto_folder=body.auto_folder
    )
    return SearchResult.of(answer, request)


@router.post(
    "/image", dependencies=[Depends(takes("multipart/form-data"))], responses=problems(400, 404, 413, 415, 422, 503)
)
async def search_image(
    form: Annotated[ImageSearch, Form(media_type="multipart/form-data")], request: Request, services: ServicesDep
) -> SearchResult:
    """Find pictures that look like the one sent."""
    data = await form.file.read()
    return SearchResult.of(await services.search.search_image(data, form.k, folder=form.folder or ""), request)
