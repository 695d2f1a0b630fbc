"""GET /folders and /images/{id}: what is indexed, and the pictures themselves."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.http.openapi import problems
from app.http.requests import ServicesDep, takes_no_parameters
from app.search.schemas import FolderInfo, FolderList, ImageInfo

router = APIRouter(tags=["library"])

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-cache",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
"""A picture is shown as a picture and runs nothing; caches ask again each time, which costs a 304."""

_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged since the ETag that was sent"}}


def _binary(*media_types: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "string", "format": "binary"}
    return {200: {"content": {name: {"schema": schema} for name in media_types}, "description": "The picture"}}


@router.head("/folders", dependencies=[Depends(takes_no_parameters)], include_in_schema=False)
@router.get("/folders", dependencies=[Depends(takes_no_parameters)], responses=problems(422, 503))
async def folders(services: ServicesDep) -> FolderList:
    """Every folder that holds a picture, directly or somewhere below."""
    snapshot, counts = await services.library.folders()
    return FolderList(
        folders=[FolderInfo.of(folder) for folder in counts],
        root=snapshot.folders.get("", 0),
        count=len(snapshot.records),
        generation=snapshot.pointer.generation,
    )


@router.head("/images/{image_id}", include_in_schema=False)
@router.get("/images/{image_id}", responses=problems(404, 503))
async def image(image_id: str, request: Request, services: ServicesDep) -> ImageInfo:
    """What is known of one picture."""
    return ImageInfo.of(await services.library.find(image_id), request)


@router.head("/images/{image_id}/original", include_in_schema=False)
@router.get(
    "/images/{image_id}/original",
    name="image_original",
    response_class=Response,
    responses={**_binary("image/*"), **_NOT_MODIFIED, **problems(404, 503)},
)
async def original(image_id: str, request: Request, services: ServicesDep) -> Response:
    """The picture's file as it is in the bucket."""
    found = await services.library.original(image_id)
    headers = {**SAFE_HEADERS, "ETag": f'"{found.info.etag}"'}
    if _has_current(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    name = quote(found.info.key.rpartition("/")[2])
    headers["Content-Length"] = str(found.info.size_bytes)
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{name}"
    if request.method == "HEAD":
        return Response(headers=headers, media_type=found.content_type)
    return StreamingResponse(await services.library.stream(found), headers=headers, media_type=found.content_type)


@router.head("/images/{image_id}/thumbnail", include_in_schema=False)
@router.get(
    "/images/{image_id}/thumbnail",
    name="image_thumbnail",
    response_class=Response,
    responses={**_binary("image/webp"), **_NOT_MODIFIED, **problems(404, 503)},
)
async def thumbnail(image_id: str, request: Request, services: ServicesDep) -> Response:
    """A small WebP copy, at most 256 pixels on its longer side."""
    record = services.library.record(image_id)
    headers = {**SAFE_HEADERS, "ETag": f'"{record.etag}-thumbnail"'}
    if _has_current(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(await services.library.thumbnail(record), headers=headers, media_type="image/webp")


def _has_current(request: Request, etag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in known or known == ["*"]
