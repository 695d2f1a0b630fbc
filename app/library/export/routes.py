"""GET /images/{id}/embedding and /export: the vectors themselves, for other programs."""

import io
from typing import Annotated, Any, Literal, cast

import numpy as np
from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.http.filters import PictureFilters
from app.http.openapi import Schema, problems
from app.http.requests import NOT_MODIFIED, ViewSource, not_modified
from app.library.export.service import Exporter, FileKind, check_parquet

NPY = "application/x-npy"
JSON = "application/json"

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache"}


class Embedding(Schema):
    """The vector of one picture."""

    image_id: Annotated[str, Field(examples=["9f2c4b1d00aa37e5"])]
    model: Annotated[str, Field(examples=["openai/clip-vit-base-patch32"])]
    fingerprint: Annotated[str, Field(description="vectors can be compared where this is the same")]
    dimension: Annotated[int, Field(examples=[512])]
    vector: Annotated[list[float], Field(description="float32, of length 1", examples=[[0.6, -0.8]])]


class ExportQuery(PictureFilters):
    """The query string of an export."""

    as_: Annotated[FileKind, Field(alias="as", description="`npz`: for NumPy; `parquet`: needs the extra `export`")] = (
        FileKind.NPZ
    )


async def _exporter(request: Request) -> Exporter:
    return cast(Exporter, request.state.exporter)


Exports = Annotated[Exporter, Depends(_exporter)]

router = APIRouter(tags=["library"])


def _files(*media_types: str) -> dict[str, Any]:
    return {name: {"schema": {"type": "string", "format": "binary"}} for name in media_types}


@router.head("/images/{image_id}/embedding", include_in_schema=False)
@router.get(
    "/images/{image_id}/embedding",
    response_model=Embedding,
    responses={200: {"content": _files(NPY)}, **NOT_MODIFIED, **problems(404, 422, 503)},
)
async def embedding(
    image_id: str,
    request: Request,
    exporter: Exports,
    view: ViewSource,
    format: Annotated[Literal["json", "npy"] | None, Query(description="instead of the Accept header")] = None,
) -> Response:
    """The vector of one picture: as JSON, or as a NumPy file (`?format=npy`, or `Accept: application/x-npy`)."""
    seen = view()
    record, model = seen.record(image_id), seen.indexed_by
    kind = format or ("npy" if _prefers_npy(request.headers.get("accept", "")) else "json")
    etag = f'"{record.content_hash}-{model.fingerprint[:16]}-{kind}"'
    weak = "W/" if kind == "json" else ""  # JSON is compressed for clients that take it so
    headers = {**HEADERS, "ETag": weak + etag, "Vary": "Accept"}
    if unchanged := not_modified(request, etag, headers):
        return unchanged
    vector = await exporter.vector(seen, image_id)
    if kind == "npy":
        headers["Content-Disposition"] = f'attachment; filename="{image_id}.npy"'
        file = io.BytesIO()
        np.save(file, vector)
        return Response(file.getvalue(), headers=headers, media_type=NPY)
    answer = Embedding(
        image_id=image_id,
        model=model.name,
        fingerprint=model.fingerprint,
        dimension=model.dimension,
        vector=vector.tolist(),
    )
    return Response(answer.model_dump_json(), headers=headers, media_type=JSON)


@router.head("/export", include_in_schema=False)
@router.get(
    "/export",
    response_class=Response,
    responses={
        200: {"content": _files(*(kind.media_type for kind in FileKind)), "description": "The file"},
        **problems(422, 501, 503),
    },
)
async def export(
    query: Annotated[ExportQuery, Query()], request: Request, exporter: Exports, view: ViewSource
) -> Response:
    """Vectors and records of all pictures that fit the filters, as one file, sorted by object key.

    It is written while it is sent, and shows the library as it was when the answer began.
    """
    seen, kind = view(), query.as_
    headers = {
        **HEADERS,
        "Content-Disposition": f'attachment; filename="image2search-{seen.generation}.{kind}"',
    }
    if request.method == "HEAD":
        if kind is FileKind.PARQUET:
            check_parquet()
        return StreamingResponse(iter(()), headers=headers, media_type=kind.media_type)  # of unknown length
    chunks = await exporter.stream(seen, query.filters(), kind)
    return StreamingResponse(chunks, headers=headers, media_type=kind.media_type)


def _prefers_npy(accept: str) -> bool:
    """Whether an Accept header rates a NumPy file above JSON (RFC 9110, 12.5.1)."""
    ranges = [entry.partition(";") for entry in accept.lower().split(",")]
    quality = {name.strip(): _quality(parameters) for name, _, parameters in ranges}

    def of(media_type: str) -> float:
        names = (media_type, "application/*", "*/*")
        return next((quality[name] for name in names if name in quality), 0.0)

    return of(NPY) > of(JSON)


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
