"""GET /folders and /images/{id}: what is indexed, and the pictures themselves."""

from typing import Annotated, Any, cast
from urllib.parse import quote

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.http.openapi import problems
from app.http.requests import NOT_MODIFIED, ViewSource, not_modified, takes_no_parameters
from app.library.schemas import FolderInfo, FolderList, ImageInfo
from app.library.service import Library

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-cache",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
"""A picture is shown as a picture and can't run code. Caches ask again each time, which costs a 304."""

THUMBNAIL_HEADERS = {**SAFE_HEADERS, "Cache-Control": "private, max-age=300"}
"""A page of results that is shown again within minutes asks for none of its thumbnails."""


async def _library(request: Request) -> Library:
    return cast(Library, request.state.library)


Pictures = Annotated[Library, Depends(_library)]

router = APIRouter(tags=["library"])


def _binary(*media_types: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "string", "format": "binary"}
    return {200: {"content": {name: {"schema": schema} for name in media_types}, "description": "The picture"}}


@router.head("/folders", dependencies=[Depends(takes_no_parameters)], include_in_schema=False)
@router.get("/folders", dependencies=[Depends(takes_no_parameters)], responses=problems(422, 503))
async def folders(library: Pictures, view: ViewSource) -> FolderList:
    """Every folder that holds a picture, directly or somewhere below."""
    seen = view()
    return FolderList(
        folders=[FolderInfo.of(folder) for folder in await library.folders(seen)],
        root=seen.folders.get("", 0),
        count=len(seen),
        generation=seen.generation,
    )


@router.head("/images/{image_id}", include_in_schema=False)
@router.get("/images/{image_id}", responses=problems(404, 503))
async def image(image_id: str, request: Request, library: Pictures, view: ViewSource) -> ImageInfo:
    """What is known of one picture."""
    return ImageInfo.of(await library.find(image_id, view()), request)


@router.head("/images/{image_id}/original", include_in_schema=False)
@router.get(
    "/images/{image_id}/original",
    name="image_original",
    response_class=Response,
    responses={**_binary("image/*"), **NOT_MODIFIED, **problems(404, 503)},
)
async def original(image_id: str, request: Request, library: Pictures, view: ViewSource) -> Response:
    """The picture's file as it is in the bucket."""
    found = await library.original(image_id, view())
    headers = {**SAFE_HEADERS, "ETag": f'"{found.info.etag}"'}
    if unchanged := not_modified(request, headers["ETag"], headers):
        return unchanged
    name = quote(found.info.key.rpartition("/")[2])
    if not found.info.packed:
        headers["Content-Length"] = str(found.info.size_bytes)
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{name}"
    if request.method == "HEAD":
        return Response(headers=headers, media_type=found.content_type)
    return StreamingResponse(await library.stream(found), headers=headers, media_type=found.content_type)


@router.head("/images/{image_id}/thumbnail", include_in_schema=False)
@router.get(
    "/images/{image_id}/thumbnail",
    name="image_thumbnail",
    response_class=Response,
    responses={**_binary("image/webp"), **NOT_MODIFIED, **problems(404, 503)},
)
async def thumbnail(image_id: str, request: Request, library: Pictures, view: ViewSource) -> Response:
    """A small WebP copy, at most 256 pixels on its longer side."""
    record = view().record(image_id)
    headers = {**THUMBNAIL_HEADERS, "ETag": f'"{record.etag}-thumbnail"'}
    if unchanged := not_modified(request, headers["ETag"], headers):
        return unchanged
    return Response(await library.thumbnail(record), headers=headers, media_type="image/webp")
