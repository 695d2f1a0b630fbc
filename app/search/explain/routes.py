"""GET /images/{id}/explain: where in a picture the query is."""

from typing import Annotated, Final, Literal, TypeAlias, cast

from fastapi import APIRouter, Depends, Query
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from app.http.files import SAFE_HEADERS
from app.http.openapi import problems
from app.http.requests import NOT_MODIFIED, ViewSource, not_modified
from app.search.explain.schemas import HeatMapNumbers
from app.search.explain.service import Explainer
from app.search.query import MAX_QUERY_CHARS
from app.types import hash_content

Format: TypeAlias = Literal["png", "json"]

PICTURE: Final = "image/png"


async def _explainer(request: Request) -> Explainer:
    return cast(Explainer, request.state.explainer)


router = APIRouter(tags=["search"])


@router.head("/images/{image_id}/explain", include_in_schema=False)
@router.get(
    "/images/{image_id}/explain",
    response_model=HeatMapNumbers,
    responses={
        200: {"content": {PICTURE: {"schema": {"type": "string", "format": "binary"}}}, "description": "The heat map"},
        **NOT_MODIFIED,
        **problems(404, 422, 501, 503),
    },
)
async def explain(
    image_id: str,
    request: Request,
    explainer: Annotated[Explainer, Depends(_explainer)],
    view: ViewSource,
    *,
    query: Annotated[str, Query(description="what to look for in the picture", max_length=MAX_QUERY_CHARS)],
    size: Annotated[int, Query(ge=64, le=1024, description="most pixels of the longer side")] = 256,
    overlay: Annotated[bool, Query(description="draw the map over the picture; without it, the map alone")] = True,
    format: Annotated[
        Format | None, Query(description="`json` gives the numbers, as `Accept: application/json` does")
    ] = None,
) -> Response:
    """Where in a picture the query is, as a PNG in colours from dark (far from the query) to bright (near it)."""
    record = view().record(image_id)
    text = query.strip()
    if not text:
        entry = {"type": "value_error", "loc": ("query", "query"), "msg": "is empty; say what to look for"}
        raise RequestValidationError([entry])
    explainer.check()
    kind = format or _accepted(request)
    asked = (explainer.model, record.content_hash, text, size, overlay, kind)
    etag = f'"{hash_content(repr(asked).encode())}"'
    headers = {**SAFE_HEADERS, "ETag": etag, "Vary": "Accept"}
    if unchanged := not_modified(request, etag, headers):
        return unchanged
    made = await explainer.explain(record, text)
    if kind == "json":
        return Response(HeatMapNumbers.of(made).model_dump_json(), headers=headers, media_type="application/json")
    drawn = await explainer.draw(record, made, size, overlay=overlay)
    return Response(drawn, headers=headers, media_type=PICTURE)


def _accepted(request: Request) -> Format:
    """JSON for clients that name it and no kind of picture."""
    accept = request.headers.get("accept", "")
    return "json" if "application/json" in accept and "image/" not in accept else "png"
