"""GET /health/live and /health/ready, for the programs that watch the process."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import IndexNotReady
from app.http.openapi import problems
from app.http.problems import TABLE, problem
from app.http.requests import ViewSource
from app.indexing.routes import IndexState
from app.indexing.schemas import Live, Ready

router = APIRouter(prefix="/health", tags=["health"])


@router.head("/live", include_in_schema=False)
@router.get("/live", responses=problems())
async def live() -> Live:
    """The process answers."""
    return Live()


@router.head("/ready", response_model=Ready, include_in_schema=False)
@router.get("/ready", response_model=Ready, responses=problems(503))
async def ready(request: Request, indexing: IndexState, view: ViewSource) -> Ready | Response:
    """Searches can be answered. `degraded`: from an older generation, because the newest one can't be used."""
    reasons = [indexing.follower.problem] if indexing.follower.problem else []
    try:
        generation = view().generation
    except IndexNotReady as error:
        kind = TABLE[IndexNotReady]
        headers = {"Retry-After": str(error.retry_after_s)}
        return problem(
            request, kind.status, str(error), name=kind.name, title=kind.title, headers=headers, reasons=[str(error)]
        )
    return Ready(state="degraded" if reasons else "ready", generation=generation, reasons=reasons)
