"""POST /search/text, /search/image and /search/url."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request

from app.encoder.encoder import PictureFile, Text
from app.http.openapi import problems
from app.http.requests import ViewSource, takes_only
from app.ingest.fetching import Fetcher
from app.search.schemas import ImageSearch, SearchResult, TextSearch, UrlSearch
from app.search.service import Query, SearchService


def _search_of(request: Request) -> SearchService:
    """What `Search` gives. The busiest routes call it themselves: FastAPI spends 0.05 ms on each dependency."""
    return cast(SearchService, request.state.search)


async def _search_service(request: Request) -> SearchService:
    return _search_of(request)


async def _fetcher(request: Request) -> Fetcher:
    return cast(Fetcher, request.state.fetcher)


Search = Annotated[SearchService, Depends(_search_service)]
Fetching = Annotated[Fetcher, Depends(_fetcher)]

router = APIRouter(prefix="/search", tags=["search"])

_PROBLEMS = problems(400, 404, 408, 413, 415, 422, 501, 503)


@router.post("/text", dependencies=[Depends(takes_only("application/json"))], responses=_PROBLEMS)
async def search_text(body: TextSearch, request: Request, view: ViewSource) -> SearchResult:
    """Find pictures by words. A folder that they point at is searched alone, if `auto_folder`."""
    query = Query(
        (Text(body.query),),
        body.k,
        folder=body.folder or "",
        auto_folder=body.auto_folder,
        min_relevance=body.min_relevance,
        mode=body.mode,
        fusion=body.fusion,
    )
    return SearchResult.of(await _search_of(request).search(query, view()), request)


@router.post("/image", dependencies=[Depends(takes_only("multipart/form-data"))], responses=_PROBLEMS)
async def search_image(
    form: Annotated[ImageSearch, Form(media_type="multipart/form-data")], request: Request, view: ViewSource
) -> SearchResult:
    """Find pictures that look like the one sent."""
    query = Query((PictureFile(form.file.file),), form.k, folder=form.folder, min_relevance=form.min_relevance)
    return SearchResult.of(await _search_of(request).search(query, view()), request)


@router.post("/url", dependencies=[Depends(takes_only("application/json"))], responses=_PROBLEMS)
async def search_url(body: UrlSearch, request: Request, fetcher: Fetching, view: ViewSource) -> SearchResult:
    """Find pictures that look like the one at a web address."""
    seen = view()
    fetched = await fetcher.fetch(body.url)
    query = Query((PictureFile(fetched.data),), body.k, folder=body.folder or "", min_relevance=body.min_relevance)
    return SearchResult.of(await _search_of(request).search(query, seen), request)
