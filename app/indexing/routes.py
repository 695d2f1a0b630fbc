"""GET /index: the state of the index. POST and GET /index/jobs: start a run and follow it."""

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from app.catalog.changes import Snapshot
from app.errors import IndexNotReady
from app.http.openapi import problems
from app.http.requests import Services, ServicesDep, takes, takes_no_parameters
from app.search.schemas import IndexInfo, IndexRun, JobInfo, ModelInfo, TextCacheInfo, VectorStoreInfo, utc

router = APIRouter(prefix="/index", tags=["index"], dependencies=[Depends(takes_no_parameters)])


@router.head("", include_in_schema=False)
@router.get("", responses=problems(422))
async def index(services: ServicesDep) -> IndexInfo:
    """What is indexed, by which model, and what is wrong with it, if anything."""
    snapshot = _snapshot(services)
    pointer = snapshot.pointer if snapshot else None
    return IndexInfo(
        generation=pointer.generation if pointer else None,
        count=len(snapshot.records) if snapshot else 0,
        folders=sum(1 for path in snapshot.folders if path) if snapshot else 0,
        skipped=len(snapshot.skipped) if snapshot else 0,
        journal=pointer.journal if pointer else 0,
        created_at=utc(pointer.created_at) if pointer else None,
        model=ModelInfo.of(services.model),
        indexed_by=ModelInfo.of(pointer.model) if pointer else None,
        made_with=list(pointer.made_with) if pointer else [],
        notice=services.notice,
        vector_store=VectorStoreInfo.of(services.vector_engine, snapshot.vectors.accuracy if snapshot else None),
        text_cache=TextCacheInfo.of(services.text_cache),
        problem=services.live.problem,
    )


@router.post(
    "/jobs",
    status_code=202,
    dependencies=[Depends(takes("application/json", ""))],
    responses=problems(400, 409, 413, 415, 422),
)
async def start_job(
    request: Request, response: Response, services: ServicesDep, body: IndexRun | None = None
) -> JobInfo:
    """Start an index run. One goes on at a time."""
    options = body or IndexRun()
    job = services.jobs.start(rebuild=options.rebuild, allow_shrink=options.allow_shrink)
    response.headers["Location"] = str(request.url_for("index_job", job_id=job.id))
    return JobInfo.of(job)


@router.head("/jobs/{job_id}", include_in_schema=False)
@router.get("/jobs/{job_id}", name="index_job", responses=problems(404, 422))
async def job(job_id: str, services: ServicesDep) -> JobInfo:
    """How far a run is, and its report when it has ended."""
    return JobInfo.of(services.jobs.get(job_id))


def _snapshot(services: Services) -> Snapshot | None:
    try:
        return services.live.current
    except IndexNotReady:
        return None
