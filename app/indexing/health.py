"""GET /health/live and /health/ready, for whatever watches the process."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import IndexNotReady
from app.http.openapi import problems
from app.http.problems import TABLE, problem
from app.http.requests import ServicesDep
from app.search.schemas import Live, Ready

router = APIRouter(prefix="/health", tags=["health"])


@router.head("/live", include_in_schema=False)
@router.get("/live", responses=problems())
async def live() -> Live:
    """The process answers."""
    return Live()


@router.head("/ready", response_model=Ready, include_in_schema=False)
@router.get("/ready", response_model=Ready, responses=problems(503))
async def ready(request: Request, services: ServicesDep) -> Ready | Response:
    """Searches can be answered. `degraded`: from an older generation, because the newest one can't be used."""
    reasons = [services.live.problem] if services.live.problem else []
    try:
        snapshot = services.live.current
    except IndexNotReady as error:
        kind = TABLE[IndexNotReady]
        headers = {"Retry-After": str(error.retry_after_s)}
        return problem(
            request, kind.status, str(error), name=kind.name, title=kind.title, headers=headers, reasons=[str(error)]
        )
    return Ready(state="degraded" if reasons else "ready", generation=snapshot.pointer.generation, reasons=reasons)
