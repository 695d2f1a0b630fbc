"""GET /folders and /images/{id}: what is indexed, and the pictures themselves."""

from typing import Annotated, cast
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.http.addresses import Addresses, version_of
from app.http.files import SAFE_HEADERS, picture_of
from app.http.openapi import problems
from app.http.ranges import PARTIAL_CONTENT, asked_ranges, partial
from app.http.requests import NOT_MODIFIED, ViewSource, not_modified, takes_no_parameters
from app.library.schemas import FolderInfo, FolderList, ImageInfo
from app.library.service import Library
from app.library.thumbnails import ThumbnailSize

SHORTLY = "private, max-age=300"
"""A page of results that is shown again within minutes asks for none of its thumbnails."""

FOR_GOOD = "private, max-age=31536000, immutable"
"""For an address that names the picture's content: another picture has another address."""


async def _library(request: Request) -> Library:
    return cast(Library, request.state.library)


Pictures = Annotated[Library, Depends(_library)]

router = APIRouter(tags=["library"])


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
    return ImageInfo.of(await library.find(image_id, view()), Addresses(request))


@router.head("/images/{image_id}/original", include_in_schema=False)
@router.get(
    "/images/{image_id}/original",
    name="image_original",
    response_class=Response,
    responses={**picture_of("image/*"), **PARTIAL_CONTENT, **NOT_MODIFIED, **problems(404, 416, 503)},
)
async def original(image_id: str, request: Request, library: Pictures, view: ViewSource) -> Response:
    """The picture's file as it is in the bucket, or the parts of it that `Range` asks for."""
    found = await library.original(image_id, view())
    headers = {**SAFE_HEADERS, "ETag": f'"{found.info.etag}"'}
    if unchanged := not_modified(request, headers["ETag"], headers):
        return unchanged
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(found.info.key.rpartition('/')[2])}"
    size_bytes, content_type = found.info.size_bytes, await library.content_type(found)
    if not found.info.packed:
        headers["Accept-Ranges"] = "bytes"
        parts = asked_ranges(request, headers["ETag"], size_bytes)
        if parts is not None:
            return await partial(
                request,
                parts,
                size_bytes=size_bytes,
                read=lambda part: library.read(found, part),
                headers=headers,
                content_type=content_type,
            )
        headers["Content-Length"] = str(size_bytes)
    body = iter(()) if request.method == "HEAD" else await library.stream(found)
    return StreamingResponse(body, headers=headers, media_type=content_type)


@router.head("/images/{image_id}/thumbnail", include_in_schema=False)
@router.get(
    "/images/{image_id}/thumbnail",
    name="image_thumbnail",
    response_class=Response,
    responses={**picture_of("image/webp"), **NOT_MODIFIED, **problems(404, 422, 503)},
)
async def thumbnail(
    image_id: str,
    request: Request,
    library: Pictures,
    view: ViewSource,
    *,
    size: Annotated[ThumbnailSize, Query(description="at most 256 or 1024 pixels on the longer side")] = "small",
    v: Annotated[str, Query(description="version, as in `thumbnail_url`: the answer may then be kept for good")] = "",
) -> Response:
    """A WebP copy in sRGB, never larger than the picture. `thumbnail_url` with `&size=large` is the larger one."""
    record = view().record(image_id)
    lasting = FOR_GOOD if v == version_of(record) else SHORTLY
    headers = {**SAFE_HEADERS, "Cache-Control": lasting, "ETag": f'"{record.etag}-{size}"'}
    if unchanged := not_modified(request, headers["ETag"], headers):
        return unchanged
    made = await library.thumbnail(record, size)
    if made.source_etag != record.etag:  # the picture has changed, and the index does not know yet
        headers |= {"Cache-Control": SHORTLY, "ETag": f'"{made.source_etag}-{size}"'}
    return Response(made.data, headers=headers, media_type="image/webp")
