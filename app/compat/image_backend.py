"""`/images/add`, `/images/list`, `/images/delete` and the searches of an older FastAPI backend, for its clients.

As that backend answers. Parameters stand in the query string; an uploaded picture is the form's field `image`. Paths
work with and without a slash at their end. Where its README says nothing:

- A search answers up to 100 pictures, the best first. The original leaves out what is below 80 %, which with CLIP is
  nearly everything that a text finds. `similarity_score` is the cosine in per cent: a client can cut where it likes.
- `path`, `s3_url` and `s3_link` are addresses from which a browser gets the picture. `description` is its caption.
- `/images/list` takes `limit` and `offset`; without them it lists every picture. The order is that of the keys.
- A deleted picture goes to the trash as `DELETE_MODE` says. The original deletes the file too.
- Errors have `{"status": "error", "message": ...}`, as the original's, but the HTTP status of their kind, not 200. What
  is wrong with a parameter is a 400.
"""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, File, UploadFile
from fastapi import Query as InQuery
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.catalog.view import View
from app.compat.failures import Failure, route_class
from app.encoder.encoder import PictureFile, Term, Text
from app.http.addresses import Addresses
from app.http.requests import ViewIfAny, ViewSource, may_change_library, takes_json_or_nothing
from app.library.editing.adding import NewPicture
from app.library.editing.deleting import Selection
from app.library.editing.routes import Adds, Deletes
from app.library.routes import Pictures
from app.library.service import Library
from app.search.query import Query
from app.search.routes import Fetching, Search
from app.search.schemas import QueryText
from app.search.service import SearchService
from app.types import Hit, Source

RESULTS = 100
"""Pictures in the answer of a search."""

LISTED_AT_ONCE = 500
"""Pictures that are looked up together for a list."""


def _answer(_: Request, failure: Failure) -> Response:
    """In the backend's words."""
    body = orjson.dumps({"status": "error", "message": failure.sentence})
    return Response(body, failure.status, failure.headers, "application/json")


class BackendError(BaseModel):
    status: Literal["error"]
    message: Annotated[str, Field(examples=["No indexed picture has the id 'x'. Take ids from search results."])]


_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": BackendError, "description": HTTPStatus(status).phrase}
    for status in (400, 403, 404, 413, 415, 503)
}

router = APIRouter(tags=["compat: image_backend"], route_class=route_class(_answer), responses=_ERRORS)
"""Each path is here a second time with a slash at its end, without an entry in the OpenAPI document."""

ImageUrl = Annotated[
    str,
    InQuery(
        min_length=1,
        max_length=4096,
        description="http or https address of a picture",
        examples=["https://example.org/photos/sunset.jpg"],
    ),
]


class AddedImage(BaseModel):
    status: Literal["success"] = "success"
    image_id: Annotated[str, Field(examples=["9f2c4b1d00aa37e5"])]


class ListedImage(BaseModel):
    id: Annotated[str, Field(examples=["9f2c4b1d00aa37e5"])]
    s3_link: Annotated[str, Field(examples=["https://image2search.s3.amazonaws.com/nature/sunset1.jpg"])]


class ImageList(BaseModel):
    status: Literal["success"] = "success"
    images: list[ListedImage]


class DeletedImage(BaseModel):
    status: Literal["success"] = "success"
    message: Annotated[str, Field(examples=["Image 9f2c4b1d00aa37e5 successfully deleted"])]
    deleted_id: Annotated[str, Field(examples=["9f2c4b1d00aa37e5"])]


class FoundImage(BaseModel):
    id: Annotated[str, Field(examples=["9f2c4b1d00aa37e5"])]
    metadata: Annotated[dict[str, Any], Field(examples=[{"image_id": "9f2c4b1d00aa37e5", "width": 640, "height": 480}])]
    s3_url: Annotated[str, Field(examples=["https://image2search.s3.amazonaws.com/nature/sunset1.jpg"])]
    similarity_score: Annotated[float, Field(description="per cent", examples=[31.42])]

    @classmethod
    def of(cls, hit: Hit, addresses: Addresses) -> "FoundImage":
        record, address = hit.record, addresses.image(hit)
        metadata = {
            "image_id": record.image_id,
            "source_url": record.source.url if record.source else address,
            "width": record.width,
            "height": record.height,
            "path": address,
            **({"description": record.caption} if record.caption else {}),
        }
        score = round(hit.score * 100, 2)
        return cls(id=record.image_id, metadata=metadata, s3_url=address, similarity_score=score)


class FoundImages(BaseModel):
    status: Literal["success"] = "success"
    results: list[FoundImage]
    total_results: int


class SearchAnswer(BaseModel):
    results: FoundImages


@router.post(
    "/images/add/", dependencies=[Depends(may_change_library), Depends(takes_json_or_nothing)], include_in_schema=False
)
@router.post("/images/add", dependencies=[Depends(may_change_library), Depends(takes_json_or_nothing)])
async def add(image_url: ImageUrl, adding: Adds, fetcher: Fetching, seen: ViewIfAny) -> AddedImage:
    """Fetch a picture and add it, as `POST /api/v1/images` does."""
    fetched = await fetcher.fetch(image_url)
    added = await adding.add(NewPicture(fetched.data, fetched.name, source=Source(fetched.url)), seen())
    return AddedImage(image_id=added.record.image_id)


@router.get("/images/list/", include_in_schema=False)
@router.get("/images/list", response_model=ImageList)
async def list_images(
    request: Request,
    library: Pictures,
    view: ViewSource,
    limit: Annotated[int | None, InQuery(ge=0, description="how many pictures, at most", examples=[100])] = None,
    offset: Annotated[int, InQuery(ge=0, description="how many pictures to pass over", examples=[0])] = 0,
) -> Response:
    """Every picture, or a part of the list."""
    seen = view()
    rows = (await library.rows(seen))[offset:][:limit]
    chunks = _listed(library, rows.tolist(), seen, Addresses(request))
    return StreamingResponse(chunks, media_type="application/json")


async def _listed(library: Library, rows: list[int], view: View, addresses: Addresses) -> AsyncIterator[bytes]:
    """The list as JSON, some hundred pictures at a time."""
    yield b'{"status":"success","images":['
    for start in range(0, len(rows), LISTED_AT_ONCE):
        hits = await library.locate_rows(rows[start : start + LISTED_AT_ONCE], view)
        images = [{"id": hit.record.image_id, "s3_link": addresses.image(hit)} for hit in hits]
        yield (b"," if start else b"") + orjson.dumps(images)[1:-1]
    yield b"]}"


@router.delete("/images/delete/", dependencies=[Depends(may_change_library)], include_in_schema=False)
@router.delete("/images/delete", dependencies=[Depends(may_change_library)])
async def delete(
    image_id: Annotated[str, InQuery(examples=["9f2c4b1d00aa37e5"])], deleting: Deletes, view: ViewSource
) -> DeletedImage:
    """Delete a picture from storage and index."""
    seen = view()
    seen.record(image_id)
    await deleting.delete(await deleting.select(Selection(image_ids=(image_id,)), seen), seen)
    return DeletedImage(message=f"Image {image_id} successfully deleted", deleted_id=image_id)


@router.post("/images/search/text/", include_in_schema=False)
@router.post("/images/search/text")
async def search_text(
    query: Annotated[QueryText, InQuery(examples=["a red car"])], request: Request, search: Search, view: ViewSource
) -> SearchAnswer:
    """Find pictures by words."""
    return await _found(Text(query), request, search, view())


@router.post("/images/search/image/", include_in_schema=False)
@router.post("/images/search/image")
async def search_image(
    request: Request, search: Search, view: ViewSource, image: Annotated[UploadFile, File(description="a picture")]
) -> SearchAnswer:
    """Find pictures that look like the one sent."""
    return await _found(PictureFile(image.file), request, search, view())


@router.post("/image/search/url/", include_in_schema=False)
@router.post("/image/search/url", operation_id="search_url_image_backend")
@router.post("/images/search/url/", include_in_schema=False)
@router.post("/images/search/url", operation_id="search_url_images_backend")
async def search_url(
    image_url: ImageUrl, request: Request, search: Search, fetcher: Fetching, view: ViewSource
) -> SearchAnswer:
    """Find pictures that look like the one at an address."""
    seen = view()
    fetched = await fetcher.fetch(image_url)
    return await _found(PictureFile(fetched.data), request, search, seen)


async def _found(term: Term, request: Request, search: SearchService, view: View) -> SearchAnswer:
    answer = await search.search(Query.of(term, k=RESULTS, auto_folder=isinstance(term, Text)), view)
    addresses = Addresses(request)
    results = [FoundImage.of(hit, addresses) for hit in answer.hits]
    return SearchAnswer(results=FoundImages(results=results, total_results=len(results)))
