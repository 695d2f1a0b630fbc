"""GET /map: where every picture lies on the map."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from app.http.openapi import problems
from app.http.requests import NOT_MODIFIED, ViewSource, not_modified
from app.library.map.schemas import BINARY_TYPE, MapAnswer, MapQuery, to_binary, to_json
from app.library.map.service import LibraryMap


async def _library_map(request: Request) -> LibraryMap:
    return cast(LibraryMap, request.state.map)


router = APIRouter(tags=["library"])

_BINARY = {"content": {BINARY_TYPE: {"schema": {"type": "string", "format": "binary"}}}}


@router.head("/map", include_in_schema=False)
@router.get(
    "/map",
    response_model=MapAnswer,
    responses={200: _BINARY, **NOT_MODIFIED, **problems(422, 503)},
)
async def picture_map(
    query: Annotated[MapQuery, Query()],
    request: Request,
    library_map: Annotated[LibraryMap, Depends(_library_map)],
    view: ViewSource,
) -> Response:
    """Coordinates of every picture, so that pictures that look alike lie together, and names for the regions.

    Principal components at once (`layout: "pca"`); with the extra `map`, UMAP when it is ready. A picture that is new
    lies beside its neighbours. `format=binary` takes 12 bytes a picture, all numbers little endian: `I2SM`; uint32:
    version 1, N, J; float32: least x, least y, greatest x, greatest y; N uint64 ids; N pairs of uint16, 0 for the least
    and 65535 for the greatest; J bytes of JSON with the rest.
    """
    answer = await library_map.of(view())
    is_binary = query.format == "binary" if query.format else BINARY_TYPE in request.headers.get("accept", "")
    etag = f'"{answer.digest}-{"binary" if is_binary else "json"}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Accept"}
    if unchanged := not_modified(request, etag, headers):
        return unchanged
    body = await library_map.encoded(to_binary if is_binary else to_json, answer)
    return Response(body, headers=headers, media_type=BINARY_TYPE if is_binary else "application/json")
