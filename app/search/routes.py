"""POST /search, /search/matches, /search/text, /search/image and /search/url."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request

from app.encoder.encoder import PictureFile
from app.http.openapi import problems
from app.http.requests import ViewSource, takes_only
from app.ingest.fetching import Fetcher
from app.search.composed_schemas import ComposedSearch, MatchingSearch
from app.search.query import Query
from app.search.schemas import ImageSearch, MatchingPictures, SearchResult, TextSearch, UrlSearch
from app.search.service import SearchService


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

_PROBLEMS = problems(400, 404, 408, 410, 413, 415, 422, 501, 503)
_OF_MATCHES = problems(400, 404, 408, 413, 415, 422, 501, 503)


@router.post("", dependencies=[Depends(takes_only("application/json"))], responses=_PROBLEMS)
async def search_composed(body: ComposedSearch, request: Request, fetcher: Fetching, view: ViewSource) -> SearchResult:
    """Find pictures by texts and pictures together, each with a weight. A negative weight takes something away."""
    seen = view()
    fetched = {url: (await fetcher.fetch(url)).data for url in body.urls}
    return SearchResult.of(await _search_of(request).search(body.query(fetched), seen), request)


@router.post("/matches", dependencies=[Depends(takes_only("application/json"))], responses=_OF_MATCHES)
async def search_matches(
    body: MatchingSearch, request: Request, fetcher: Fetching, view: ViewSource
) -> MatchingPictures:
    """The ids of all pictures that fit a search, 10,000 at most, and how many lie in which folder."""
    seen = view()
    fetched = {url: (await fetcher.fetch(url)).data for url in body.urls}
    return MatchingPictures.of(await _search_of(request).matching(body.query(fetched), seen))


@router.post("/text", dependencies=[Depends(takes_only("application/json"))], responses=_PROBLEMS)
async def search_text(body: TextSearch, request: Request, view: ViewSource) -> SearchResult:
    """Find pictures by words. A folder that they point at is searched alone, if `auto_folder`."""
    return SearchResult.of(await _search_of(request).search(body.to_query(), view()), request)


@router.post("/image", dependencies=[Depends(takes_only("multipart/form-data"))], responses=_PROBLEMS)
async def search_image(
    form: Annotated[ImageSearch, Form(media_type="multipart/form-data")], request: Request, view: ViewSource
) -> SearchResult:
    """Find pictures that look like the one sent."""
    query = Query.of(
        *([PictureFile(form.file.file)] if form.file else []),
        k=form.k,
        folders=(form.folder,) if form.folder else (),
        min_relevance=form.min_relevance,
        sort=form.sort,
        fold_duplicates=form.fold_duplicates,
        cursor=form.cursor or None,
    )
    return SearchResult.of(await _search_of(request).search(query, view()), request)


@router.post("/url", dependencies=[Depends(takes_only("application/json"))], responses=_PROBLEMS)
async def search_url(body: UrlSearch, request: Request, fetcher: Fetching, view: ViewSource) -> SearchResult:
    """Find pictures that look like the one at a web address."""
    seen = view()
    query = Query.of(
        *([PictureFile((await fetcher.fetch(body.url)).data)] if body.url else []),
        k=body.k,
        folders=(body.folder,) if body.folder else (),
        min_relevance=body.min_relevance,
        sort=body.sort,
        fold_duplicates=body.fold_duplicates,
        cursor=body.cursor,
    )
    return SearchResult.of(await _search_of(request).search(query, seen), request)
