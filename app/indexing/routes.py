"""GET /index: the state of the index. POST and GET /index/jobs: start a run and follow it."""

from collections.abc import Callable
from typing import Annotated, cast

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from app.catalog.view import View
from app.errors import NO_CAPTIONER, IndexNotReady, NotConfigured
from app.http.openapi import problems, utc
from app.http.requests import ViewSource, takes_json_or_nothing, takes_no_parameters
from app.indexing.follower import Indexing
from app.indexing.schemas import (
    FewerHubsInfo,
    IndexInfo,
    IndexRun,
    JobInfo,
    ModelInfo,
    TextCacheInfo,
    VectorStoreInfo,
)


async def _indexing(request: Request) -> Indexing:
    return cast(Indexing, request.state.indexing)


IndexState = Annotated[Indexing, Depends(_indexing)]

router = APIRouter(prefix="/index", tags=["index"], dependencies=[Depends(takes_no_parameters)])


@router.head("", include_in_schema=False)
@router.get("", responses=problems(422))
async def index(indexing: IndexState, view: ViewSource) -> IndexInfo:
    """What is indexed, by which model, and what is wrong with it, if anything."""
    seen = _view_if_ready(view)
    return IndexInfo(
        generation=seen.generation if seen else None,
        count=len(seen) if seen else 0,
        folders=sum(1 for path in seen.folders if path) if seen else 0,
        skipped=seen.skipped if seen else 0,
        journal=seen.journal if seen else 0,
        created_at=utc(seen.published_at) if seen else None,
        model=ModelInfo.of(indexing.encoder.identity),
        indexed_by=ModelInfo.of(seen.indexed_by) if seen else None,
        made_with=list(seen.made_with) if seen else [],
        notice=indexing.encoder.notice,
        vector_store=VectorStoreInfo.of(indexing.vector_engine, seen.accuracy if seen else None),
        fewer_hubs=FewerHubsInfo.of(seen.hubs) if seen and seen.hubs else None,
        text_cache=TextCacheInfo.of(indexing.encoder.text_cache),
        problem=indexing.follower.problem,
    )


@router.post(
    "/jobs",
    status_code=202,
    dependencies=[Depends(takes_json_or_nothing)],
    responses=problems(400, 408, 409, 413, 415, 422, 501),
)
async def start_job(
    request: Request, response: Response, indexing: IndexState, body: IndexRun | None = None
) -> JobInfo:
    """Start an index run. One goes on at a time."""
    options = body or IndexRun()
    if options.captions and not indexing.can_caption:
        raise NotConfigured(NO_CAPTIONER)
    job = indexing.jobs.start(**options.model_dump())
    response.headers["Location"] = str(request.url_for("index_job", job_id=job.id))
    return JobInfo.of(job)


@router.head("/jobs/{job_id}", include_in_schema=False)
@router.get("/jobs/{job_id}", name="index_job", responses=problems(404, 422))
async def job(job_id: str, indexing: IndexState) -> JobInfo:
    """How far a run is, and its report when it has ended."""
    return JobInfo.of(indexing.jobs.get(job_id))


def _view_if_ready(view: Callable[[], View]) -> View | None:
    try:
        return view()
    except IndexNotReady:
        return None
