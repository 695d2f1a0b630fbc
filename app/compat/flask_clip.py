"""`/search?query=`, `/images`, `/image/<id>` and their kin: the routes of a Flask CLIP image search, for its clients.

As that system's README and the answers of its `api.py` say: ids are whole numbers from 0, in the order of the keys, as
in the `atlas.json` that its clients draw from; `/search` answers `{id, distance}`, where the distance is FAISS's L2 and
so squared Euclidean, 0 to 4; an error has a member `error`. Where they say nothing, and what differs:

- A number is the place of a picture in the list of now. When pictures come or go, the numbers after them change, as
  the original's do when it starts again. So each path takes an `image_id` of `/api/v1` in its place, which stays, and
  the metadata have it.
- `/image/<id>` sends the thumbnail (the original sends its working copy, 336 pixels) in WebP, at most 256 pixels, or
  1024 with `?size=large`. Its README says "details or the original image": with `Accept: application/json` it sends
  the details, and `/original/<id>` the file as it is stored, also in parts.
- `top_k` is 100 unless given, and at most 1000; a number out of range is taken as the nearest one in it.
- Embeddings are whole, as with the original's `full=1`; its 50 principal components are not made.
- `metadata` has the names that the original uses, for what this index knows: `filename`, `description`, `keywords`.
- Its map (`/umap`) is `/api/v1/map`. Its datasets and tagging came later and are not here.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, File, Form, UploadFile
from fastapi import Query as InQuery
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.catalog.view import View
from app.compat.failures import Failure, route_class
from app.encoder.encoder import PictureFile, Term, Text
from app.errors import ImageNotFound
from app.http.openapi import problems
from app.http.problems import problem
from app.http.ranges import PARTIAL_CONTENT
from app.http.requests import ViewSource
from app.indexing.routes import IndexState
from app.library import routes as library_routes
from app.library.export.routes import Exports
from app.library.routes import Pictures
from app.library.service import Library
from app.library.thumbnails import ThumbnailSize
from app.search.query import Query
from app.search.routes import Search
from app.search.schemas import QueryText
from app.search.service import SearchService
from app.types import ImageRecord

TOP_K = 100
MAX_TOP_K = 1000

SENT_AT_ONCE = 256
"""Pictures whose metadata or vectors are looked up together for a list."""

ID_DIGITS = 16
"""Of an `image_id`. No number of a picture has as many."""


def _answer(request: Request, failure: Failure) -> Response:
    """A problem document with the member `error`."""
    sentence = _sentence(failure)
    return problem(request, failure.status, sentence, headers=failure.headers, error=sentence)


def _sentence(failure: Failure) -> str:
    """What is wrong; of a query that is missing or blank in the original's words."""
    if any(each["loc"] == ("query", "query") and each["type"] != "string_too_long" for each in failure.found):
        return "Missing 'query'. Ask as in /search?query=red+car."
    return failure.sentence


router = APIRouter(
    tags=["compat: flask_clip"], route_class=route_class(_answer), responses=problems(400, 404, 408, 413, 415, 503)
)

PictureId = Annotated[str, Field(description="its number in `/images`, or an `image_id`", examples=["0"])]

QueryString = Annotated[QueryText, InQuery(examples=["red car in the city"])]

TopK = Annotated[int, Field(description="how many pictures, 1 to 1000", examples=[10])]


class FoundPicture(BaseModel):
    id: Annotated[int, Field(examples=[12])]
    distance: Annotated[float, Field(description="squared Euclidean, lower is better", examples=[1.37])]


class PictureMetadata(BaseModel):
    filename: Annotated[str, Field(examples=["sunset1.jpg"])]
    folder: Annotated[str, Field(examples=["nature"])]
    image_id: Annotated[str, Field(examples=["9f2c4b1d00aa37e5"])]
    description: Annotated[str, Field(description="its caption", examples=["the sun sets behind hills"])]
    keywords: Annotated[list[str], Field(description="its tags", examples=[["holiday"]])]


class PictureDetails(PictureMetadata):
    id: Annotated[int, Field(examples=[12])]
    width: Annotated[int, Field(examples=[4000])]
    height: Annotated[int, Field(examples=[3000])]


class PictureEmbedding(BaseModel):
    id: Annotated[int, Field(examples=[12])]
    embedding: Annotated[list[float], Field(examples=[[0.6, -0.8]])]
    metadata: PictureMetadata


_FILE = {"type": "string", "format": "binary"}

Vector = Annotated[list[float], Field(examples=[[0.6, -0.8]])]
_VECTOR: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"example": [0.6, -0.8]}}}}
_NUMBERS: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"example": [0, 1, 2, 3]}}}}


@router.get("/search")
async def search(
    search: Search, library: Pictures, view: ViewSource, query: QueryString, top_k: TopK = TOP_K
) -> list[FoundPicture]:
    """Find pictures by words: `curl "http://localhost:8000/search?query=your+search+term"`."""
    return await _found(Text(query), top_k, search, library, view())


@router.post("/search-by-image")
async def search_by_image(
    search: Search,
    library: Pictures,
    view: ViewSource,
    file: Annotated[UploadFile, File(description="a picture")],
    top_k: Annotated[int, Form(description="how many pictures, 1 to 1000", examples=[10])] = TOP_K,
) -> list[FoundPicture]:
    """Find pictures that look like the one sent."""
    return await _found(PictureFile(file.file), top_k, search, library, view())


@router.get("/images", response_model=list[int], responses=_NUMBERS)
async def images(view: ViewSource) -> Response:
    """The ids of all pictures: 0, 1, 2 and so on."""
    return _json(list(range(len(view()))))


@router.head("/image/{image_id}", include_in_schema=False)
@router.get(
    "/image/{image_id}",
    response_class=Response,
    responses={200: {"model": PictureDetails, "content": {"image/webp": {"schema": _FILE}}}},
)
async def image(
    image_id: PictureId,
    request: Request,
    library: Pictures,
    view: ViewSource,
    size: Annotated[ThumbnailSize, InQuery(description="at most 256 or 1024 pixels on the longer side")] = "small",
) -> Response:
    """A small copy of the picture; what is known of it with `Accept: application/json`."""
    seen = view()
    record = await _record(image_id, library, seen)
    if not _wants_details(request):
        answer = await library_routes.thumbnail(record.image_id, request, library, lambda: seen, size=size)
        answer.headers["Vary"] = "Accept"
        return answer
    (number,) = await library.numbers([record.image_id], seen)
    details = PictureDetails(id=number, width=record.width, height=record.height, **_metadata(record))
    return Response(details.model_dump_json(), media_type="application/json", headers={"Vary": "Accept"})


@router.head("/original/{image_id}", include_in_schema=False)
@router.get(
    "/original/{image_id}",
    response_class=Response,
    responses={200: {"content": {"image/*": {"schema": _FILE}}}, **PARTIAL_CONTENT},
)
async def original(image_id: PictureId, request: Request, library: Pictures, view: ViewSource) -> Response:
    """The picture's file as it is stored."""
    seen = view()
    record = await _record(image_id, library, seen)
    return await library_routes.original(record.image_id, request, library, lambda: seen)


@router.get("/embeddings", response_model=list[PictureEmbedding])
async def embeddings(library: Pictures, exporter: Exports, view: ViewSource) -> Response:
    """The vectors of all pictures, with their ids and metadata."""
    seen = view()

    async def of(rows: list[int], first: int) -> list[dict[str, Any]]:
        vectors = await exporter.vectors(seen, rows)
        records = await library.records(rows, seen)
        return [
            {"id": number, "embedding": vector, "metadata": _metadata(record)}
            for number, (record, vector) in enumerate(zip(records, vectors, strict=True), first)
        ]

    return await _listed(library, seen, of)


@router.get("/metadata", response_model=list[PictureMetadata])
async def metadata(library: Pictures, view: ViewSource) -> Response:
    """The metadata of all pictures, in the order of their ids."""
    seen = view()

    async def of(rows: list[int], _: int) -> list[dict[str, Any]]:
        return [_metadata(record) for record in await library.records(rows, seen)]

    return await _listed(library, seen, of)


@router.get("/embedding/{image_id}", response_model=Vector, responses=_VECTOR)
async def embedding(image_id: PictureId, library: Pictures, exporter: Exports, view: ViewSource) -> Response:
    """The vector of a picture."""
    seen = view()
    record = await _record(image_id, library, seen)
    return _json(await exporter.vector(seen, record.image_id))


@router.get("/embedding-for-text", response_model=Vector, responses=_VECTOR)
async def embedding_for_text(indexing: IndexState, view: ViewSource, query: QueryString) -> Response:
    """The vector of a text, to be compared with those of pictures."""
    return _json(await indexing.encoder.encode(Text(query), view()))


async def _found(term: Term, top_k: int, search: SearchService, library: Library, view: View) -> list[FoundPicture]:
    answer = await search.search(Query.of(term, k=min(max(1, top_k), MAX_TOP_K)), view)
    numbers = await library.numbers([hit.record.image_id for hit in answer.hits], view)
    return [
        FoundPicture(id=number, distance=round(max(0.0, 2 - 2 * hit.score), 6))
        for number, hit in zip(numbers, answer.hits, strict=True)
    ]


async def _record(image_id: str, library: Library, view: View) -> ImageRecord:
    """Raises ImageNotFound."""
    if not image_id.isdecimal() or len(image_id) >= ID_DIGITS:
        return view.record(image_id)
    rows = await library.rows(view)
    if int(image_id) >= len(rows):
        raise ImageNotFound(f"There is no picture {image_id}: their numbers are 0 to {len(rows) - 1}.")
    (record,) = await library.records([int(rows[int(image_id)])], view)
    return record


def _metadata(record: ImageRecord) -> dict[str, Any]:
    """The fields of `PictureMetadata`."""
    return {
        "filename": record.object_key.rpartition("/")[2],
        "folder": record.folder,
        "image_id": record.image_id,
        "description": record.caption or "",
        "keywords": list(record.tags),
    }


def _wants_details(request: Request) -> bool:
    """A browser asks for `image/...` or `*/*`."""
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "image/" not in accepted


async def _listed(
    library: Library, view: View, of: Callable[[list[int], int], Coroutine[Any, Any, list[dict[str, Any]]]]
) -> Response:
    """A JSON list of what `of` makes of some rows and the number of the first one.

    The first part is made at once, so that errors are raised here.
    """
    rows = (await library.rows(view)).tolist()
    first = await of(rows[:SENT_AT_ONCE], 0)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"[" + _dumps(first)[1:-1]
        for start in range(SENT_AT_ONCE, len(rows), SENT_AT_ONCE):
            yield b"," + _dumps(await of(rows[start : start + SENT_AT_ONCE], start))[1:-1]
        yield b"]"

    return StreamingResponse(chunks(), media_type="application/json")


def _json(value: Any) -> Response:
    return Response(_dumps(value), media_type="application/json")


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
