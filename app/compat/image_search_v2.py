"""`/api/demo_backend_v2/image_search`: the two routes of an older image search API, for its clients.

As that API's README documents them: a bare list of `{distance, folder, s3_path, image_url}`, distance Euclidean, lower
is better; `folder: ""` means that no folder is given. Unknown fields are ignored. Where the README says nothing:

- `k` and `folder` of an image search stand in the query string, as its parameter table says, or in the form, as its
  curl example does; where both are given, the query string wins. `k` goes to 1000 (the README recommends at most 100).
- A folder without pictures gives an empty list, as the original answers.
- `folder` in answers is the picture's whole folder, `nature/beach`; empty at the bucket's root.
- A query has at most 2,000 characters and is not blank. Any other query is an invalid parameter.
- Statuses are the README's three, 400 (invalid file, missing or invalid parameters), 404 and 500 (bugs), and those of
  HTTP for what it does not speak of: 413 for what is too large, 408 for a body that comes too slowly, 503 with
  Retry-After for what works again later (no index yet, storage down, too many requests). Bodies have its `detail`, and
  the other members of a problem document.
- `image_url` is a plain public S3 address where `STORAGE_LINKS=public`.
"""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile
from fastapi import Query as InQuery
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from app.catalog.view import View
from app.compat.failures import Failure, route_class
from app.encoder.encoder import PictureFile, Text
from app.errors import FolderNotFound
from app.http.addresses import Addresses
from app.http.openapi import problems
from app.http.problems import problem
from app.http.requests import ViewSource
from app.search.query import Query
from app.search.routes import Search
from app.search.schemas import QueryText
from app.search.service import SearchService
from app.types import Hit

DEFAULT_K = 5
MAX_K = 1000

_KEPT_STATUSES = (404, 408, 413, 503)


def _answer(request: Request, failure: Failure) -> Response:
    """A problem document with one of the statuses that the README lists."""
    return problem(request, _status(failure.status), failure.sentence, name=failure.name, headers=failure.headers)


def _status(status: int) -> int:
    if status in _KEPT_STATUSES:
        return status
    return 500 if status >= 500 else 400


router = APIRouter(
    prefix="/api/demo_backend_v2/image_search",
    tags=["compat: image_search_v2"],
    route_class=route_class(_answer),
    responses=problems(400, 404, 408, 413, 503),
)

K = Annotated[int, Field(ge=1, le=MAX_K, description="how many pictures, at most")]


class V2Search(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "beautiful sunset over mountains", "k": 5, "folder": ""},
                {"query": "red car in the city", "k": 3},
            ]
        }
    )

    query: QueryText
    k: K = DEFAULT_K
    folder: str | None = ""


class V2Result(BaseModel):
    """The order of the fields is the original's."""

    distance: Annotated[float, Field(examples=[0.234])]
    folder: Annotated[str, Field(examples=["nature"])]
    s3_path: Annotated[str, Field(examples=["s3://image2search/nature/sunset1.jpg"])]
    image_url: Annotated[str, Field(examples=["https://image2search.s3.amazonaws.com/nature/sunset1.jpg"])]

    @classmethod
    def of(cls, hit: Hit, addresses: Addresses) -> "V2Result":
        return cls(distance=hit.distance, folder=hit.record.folder, s3_path=hit.uri, image_url=addresses.image(hit))


@router.post("/search")
async def search(body: V2Search, request: Request, search: Search, view: ViewSource) -> list[V2Result]:
    """Find pictures by words."""
    query = Query.of(Text(body.query), k=body.k, folders=(body.folder,) if body.folder else (), auto_folder=True)
    return await _results(query, request, search, view)


@router.post("/search_by_image")
async def search_by_image(
    *,
    request: Request,
    search: Search,
    view: ViewSource,
    file: Annotated[UploadFile, File(description="a picture")],
    k_of_query: Annotated[int | None, InQuery(alias="k", ge=1, le=MAX_K, examples=[5])] = None,
    k_of_form: Annotated[int, Form(alias="k", ge=1, le=MAX_K, examples=[5])] = DEFAULT_K,
    folder_of_query: Annotated[str, InQuery(alias="folder", examples=[""])] = "",
    folder_of_form: Annotated[str, Form(alias="folder", examples=[""])] = "",
) -> list[V2Result]:
    """Find pictures that look like the one sent."""
    folder = folder_of_query or folder_of_form
    query = Query.of(PictureFile(file.file), k=k_of_query or k_of_form, folders=(folder,) if folder else ())
    return await _results(query, request, search, view)


async def _results(query: Query, request: Request, search: SearchService, view: Callable[[], View]) -> list[V2Result]:
    try:
        answer = await search.search(query, view())
    except FolderNotFound:
        return []
    addresses = Addresses(request)
    return [V2Result.of(hit, addresses) for hit in answer.hits]
