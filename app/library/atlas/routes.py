"""GET /atlas and /atlas/{page}: all pictures in small on few large pages."""

from functools import partial
from hashlib import blake2b
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from app.http.files import SAFE_HEADERS
from app.http.openapi import problems
from app.http.requests import NOT_MODIFIED, ViewSource, not_modified
from app.library.atlas.layout import AtlasLayout
from app.library.atlas.schemas import EXAMPLE, AtlasInfo, to_json
from app.library.atlas.service import Atlas, Cell
from app.library.routes import FOR_GOOD, SHORTLY


async def _atlas(request: Request) -> Atlas:
    return cast(Atlas, request.state.atlas)


AtlasSource = Annotated[Atlas, Depends(_atlas)]
CellSize = Annotated[Cell, Query(description="side of a cell, pixels")]

router = APIRouter(tags=["library"])


@router.head("/atlas", include_in_schema=False)
@router.get(
    "/atlas",
    response_model=AtlasInfo,
    responses={
        200: {"content": {"application/json": {"example": EXAMPLE}}, "description": "Where each picture lies"},
        **NOT_MODIFIED,
        **problems(422, 503),
    },
)
async def atlas(request: Request, source: AtlasSource, view: ViewSource, cell: CellSize = Cell.SMALL) -> Response:
    """A sprite atlas: where each picture lies on the pages, in pixels from the page's upper left corner.

    A picture is fitted into its cell, keeps its proportions and is not enlarged. It keeps its place for as long as it
    exists, so one more picture changes one page. A page's `url` changes with what it shows, so that it can be kept for
    good. It is drawn when it is first asked for, which takes seconds with many new pictures.
    """
    seen = view()
    layout = await source.layout(seen, cell)
    headers = {"ETag": _etag(seen.generation, layout), "Cache-Control": "private, no-cache"}
    if unchanged := not_modified(request, headers["ETag"], headers):
        return unchanged
    urls = [_page_url(request, page, layout) for page in range(layout.pages)]
    body = await source.places(seen, layout, partial(to_json, layout, urls, seen.generation))
    return Response(body, headers=headers, media_type="application/json")


@router.head("/atlas/{page}", include_in_schema=False)
@router.get(
    "/atlas/{page}",
    name="atlas_page",
    response_class=Response,
    responses={
        200: {"content": {"image/webp": {"schema": {"type": "string", "format": "binary"}}}, "description": "The page"},
        **NOT_MODIFIED,
        **problems(404, 422, 503),
    },
)
async def atlas_page(
    page: int,
    request: Request,
    source: AtlasSource,
    view: ViewSource,
    *,
    cell: CellSize = Cell.SMALL,
    v: Annotated[str, Query(description="version, as in the page's `url`: the answer may then be kept for good")] = "",
) -> Response:
    """One page of the atlas as WebP, at most 2048 pixels wide and high."""
    seen = view()
    version = await source.version(seen, cell, page)
    headers = {**SAFE_HEADERS, "Cache-Control": FOR_GOOD if v == version else SHORTLY, "ETag": f'"{version}"'}
    if unchanged := not_modified(request, headers["ETag"], headers):
        return unchanged
    return Response(await source.page(seen, cell, page), headers=headers, media_type="image/webp")


def _etag(generation: str, layout: AtlasLayout) -> str:
    """The versions of the pages say which picture lies where."""
    said = f"{generation} {layout.cell} {' '.join(layout.versions)}"
    return f'"{blake2b(said.encode(), digest_size=8).hexdigest()}"'


def _page_url(request: Request, page: int, layout: AtlasLayout) -> str:
    path = request.app.url_path_for("atlas_page", page=str(page))
    return f"{str(request.base_url).rstrip('/')}{path}?cell={layout.cell}&v={layout.versions[page]}"
