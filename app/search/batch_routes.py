"""GET /images/{id}/similar and POST /search/batch."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from app.encoder.encoder import IndexedPicture
from app.errors import AppError, InvalidInput
from app.http.openapi import problems
from app.http.problems import TYPE_PREFIX, kind_of, log_error, reason_of
from app.http.requests import ViewSource, takes_only
from app.search.batch_schemas import BatchAnswer, BatchProblem, BatchResult, BatchSearch
from app.search.composed_schemas import ComposedSearch
from app.search.minus_words import understand
from app.search.query import Query as SearchQuery
from app.search.routes import Search
from app.search.schemas import MAX_FOLDER_CHARS, MAX_FOLDERS, FoldDuplicates, MinRelevance, SearchResult, TextSearch
from app.search.service import SearchAnswer

router = APIRouter(tags=["search"])

FolderPath = Annotated[str, Query(max_length=MAX_FOLDER_CHARS)]


@router.get("/images/{image_id}/similar", responses=problems(404, 422, 501, 503))
async def similar(
    image_id: str,
    request: Request,
    search: Search,
    view: ViewSource,
    *,
    k: Annotated[int, Query(ge=1, le=100, description="how many pictures, at most")] = 5,
    folders: Annotated[
        list[FolderPath] | None, Query(max_length=MAX_FOLDERS, description="search only in and below these folders")
    ] = None,
    min_relevance: MinRelevance = 0,
    fold_duplicates: FoldDuplicates = False,
) -> SearchResult:
    """Find pictures that look like one of the library. The picture itself is left out."""
    query = SearchQuery.of(
        IndexedPicture(image_id),
        k=k,
        folders=tuple(folders or ()),
        min_relevance=min_relevance,
        fold_duplicates=fold_duplicates,
        leave_out_queried=True,
    )
    return SearchResult.of(await search.search(query, view()), request)


@router.post(
    "/search/batch",
    dependencies=[Depends(takes_only("application/json"))],
    responses=problems(400, 408, 413, 415, 422, 503),
)
async def search_batch(body: BatchSearch, request: Request, search: Search, view: ViewSource) -> BatchResult:
    """Answer up to 64 searches over one state of the index. A search that fails has a `problem` and stops no other."""
    seen = view()
    answers: list[BatchAnswer] = []
    for some in _in_turns(list(map(_query_or_error, body.searches)), search.batch_size):
        found = iter(await search.search_together([each for each in some if isinstance(each, SearchQuery)], seen))
        answers += [_answer(each if isinstance(each, AppError) else next(found), request) for each in some]
    return BatchResult(answers=answers)


def _in_turns(queries: Sequence[SearchQuery | AppError], most: int) -> Iterator[list[SearchQuery | AppError]]:
    """Queries that are answered at the same time: with `most` terms together, so that no batch fills the queue.

    A query of more terms comes alone.
    """
    some: list[SearchQuery | AppError] = []
    terms = 0
    for each in queries:
        more = 0 if isinstance(each, AppError) else max(1, len(understand(each)[0].terms))
        if some and terms + more > most:
            yield some
            some, terms = [], 0
        some.append(each)
        terms += more
    yield some


def _answer(found: SearchAnswer | AppError, request: Request) -> BatchAnswer:
    if isinstance(found, AppError):
        return _failed(found)
    return BatchAnswer(result=SearchResult.of(found, request))


def _failed(error: AppError) -> BatchAnswer:
    kind = kind_of(error)
    log_error(error, kind)
    problem = BatchProblem(type=TYPE_PREFIX + kind.name, title=kind.title, status=kind.status, detail=reason_of(error))
    return BatchAnswer(problem=problem)


def _query_or_error(body: TextSearch | ComposedSearch) -> SearchQuery | AppError:
    """Pictures that can't be decoded, and terms that would have to be fetched, are errors of their search."""
    if isinstance(body, TextSearch):
        return body.to_query()
    if body.urls:
        return InvalidInput("A batch takes no picture addresses. Send the picture itself as `image`, or use /search.")
    try:
        return body.query({})
    except AppError as error:
        return error
