"""POST /generations: a prompt becomes a picture, as a job. GET /generations/{id}: ask how far it is, or follow it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Annotated, Final, cast

from fastapi import APIRouter, Depends, Header, Path
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.catalog.view import View
from app.errors import JobNotFound, Unavailable
from app.generation.jobs import Generation, State
from app.generation.schemas import (
    Generate,
    GeneratedPictureInfo,
    GenerateFromFile,
    GenerationInfo,
    GenerationProgress,
    GenerationStatus,
    SaveResults,
)
from app.generation.service import Generations
from app.http.files import SAFE_HEADERS, picture_of
from app.http.openapi import bodies, problems
from app.http.ranges import PARTIAL_CONTENT, asked_ranges, partial
from app.http.requests import (
    NOT_MODIFIED,
    ViewIfAny,
    comes_from_own_pages,
    json_of,
    may_change_library,
    not_modified,
    parsed,
    takes,
    takes_no_parameters,
)
from app.types import hash_content

RETRY_MS: Final = 2000
"""After which a browser whose connection broke follows the job again, from the picture that it saw last."""

MEDIA_TYPE: Final = "image/png"


async def generations_of(request: Request) -> Generations:
    return cast(Generations, request.state.generations)


async def caller_of(request: Request) -> str:
    """Tells callers apart, by their key, or else by their address. Neither can be read from it."""
    key = request.headers.get("authorization") or request.headers.get("x-api-key")
    address = request.client.host if request.client else ""
    return hash_content(f"key {key}".encode() if key else f"address {address}".encode())[:12]


Generates = Annotated[Generations, Depends(generations_of)]
Caller = Annotated[str, Depends(caller_of)]
GenerationId = Annotated[str, Path(max_length=64, examples=["0193a1b2c3d4f00dfeedfacecafe0123"])]


async def _found(generation_id: GenerationId, generations: Generates, seen: ViewIfAny) -> Generation:
    return await generations.get(generation_id, seen())


Found = Annotated[Generation, Depends(_found)]
Number = Annotated[int, Path(ge=1, le=16, description="of the picture, from 1")]

router = APIRouter(prefix="/generations", tags=["generation"], dependencies=[Depends(takes_no_parameters)])


@router.head("", include_in_schema=False)
@router.get("", responses=problems(422, 503))
async def generation_status(generations: Generates) -> GenerationStatus:
    """Whether this service draws pictures, what its model can draw, and how many jobs wait."""
    return GenerationStatus.of(generations.status(), await generations.why_not())


@router.post(
    "",
    status_code=202,
    dependencies=[Depends(takes("application/json", "multipart/form-data")), Depends(comes_from_own_pages)],
    openapi_extra=bodies(json=Generate, form=GenerateFromFile),
    responses=problems(400, 403, 404, 408, 413, 415, 422, 501, 503),
)
async def generate(
    request: Request, response: Response, generations: Generates, seen: ViewIfAny, caller: Caller
) -> GenerationInfo:
    """Draw pictures of what a prompt says. `Location` is the job; it survives a restart of the service."""
    if request.headers["content-type"].lower().startswith("application/json"):
        body = parsed(Generate, await json_of(request))
        await _may_save(request, body.save_to_folder)
        job = await generations.start(body.request(), seen(), caller)
    else:
        job = await _generate_from_file(request, generations, seen(), caller)
    response.headers["Location"] = str(request.url_for("generation", generation_id=job.id))
    return GenerationInfo.of(job, request)


async def _generate_from_file(request: Request, generations: Generations, seen: View | None, caller: str) -> Generation:
    async with request.form(max_files=1) as form:
        sent = parsed(GenerateFromFile, dict(form))
        body = parsed(Generate, sent.fields())
        await _may_save(request, body.save_to_folder)
        return await generations.start(body.request(), seen, caller, upload=await sent.file.read())


async def _may_save(request: Request, folder: str | None) -> None:
    """A service that is read-only draws pictures, and changes its library no more for them than for others."""
    if folder is not None:
        await may_change_library(request)


@router.head("/{generation_id}", include_in_schema=False)
@router.get("/{generation_id}", name="generation", responses=problems(404, 422, 503))
async def generation(found: Found, request: Request) -> GenerationInfo:
    """How far a job is, and the pictures that are finished."""
    return GenerationInfo.of(found, request)


@router.delete("/{generation_id}", responses=problems(404, 409, 422, 503))
async def cancel(
    generation_id: GenerationId, request: Request, generations: Generates, seen: ViewIfAny
) -> GenerationInfo:
    """Cancel a job: one that waits at once, a running one after its step. One that is over stays as it is."""
    return GenerationInfo.of(await generations.cancel(generation_id, seen()), request)


@router.get("/{generation_id}/events", response_class=EventSourceResponse, responses=problems(404, 422, 503))
async def generation_events(
    found: Found,
    request: Request,
    generations: Generates,
    seen: ViewIfAny,
    last_event_id: Annotated[
        str, Header(description="number of the last picture that was seen; browsers send it when they connect again")
    ] = "",
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `progress` with a preview, `result` for each finished picture, and at the end `failed` or
    `cancelled`, where it is so, and `done`.

    A comment comes every 15 seconds, so that proxies keep the connection. Close it at `done`.
    """
    shown = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 4 else 0
    with suppress(Unavailable, JobNotFound):  # the storage fails: the client comes back, and is told so
        async for now in generations.watch(found.id, seen()):
            for event in _events(now, request, shown):
                yield event
            shown = max(shown, len(now.results))


def _events(now: Generation, request: Request, shown: int) -> Iterator[ServerSentEvent]:
    """What there is to tell of a job, of whose pictures the first ones were shown before."""
    yield ServerSentEvent(event="progress", data=GenerationProgress.of(now), retry=RETRY_MS)
    for result in now.results[shown:]:
        info = GeneratedPictureInfo.of(result, now, request)
        yield ServerSentEvent(event="result", data=info, id=str(result.number))
    if now.state in (State.FAILED, State.CANCELLED):
        yield ServerSentEvent(event=now.state.value, data={"error": now.error})
    if now.is_over:
        yield ServerSentEvent(event="done", data=GenerationInfo.of(now, request))


@router.head("/{generation_id}/pictures/{number}", include_in_schema=False)
@router.get(
    "/{generation_id}/pictures/{number}",
    name="generation_picture",
    response_class=Response,
    responses={**picture_of(MEDIA_TYPE), **PARTIAL_CONTENT, **NOT_MODIFIED, **problems(404, 416, 422, 503)},
)
async def picture(
    generation_id: GenerationId, number: Number, request: Request, *, generations: Generates, seen: ViewIfAny
) -> Response:
    """A finished picture as a PNG file, or the parts that `Range` asks for. Its text chunks say how it was made."""
    info = await generations.picture(generation_id, number, seen())
    headers = {**SAFE_HEADERS, "ETag": f'"{info.etag}"'}
    if unchanged := not_modified(request, headers["ETag"], headers):
        return unchanged
    headers |= {"Accept-Ranges": "bytes", "Content-Disposition": f'inline; filename="{generation_id}-{number}.png"'}
    parts = asked_ranges(request, headers["ETag"], info.size_bytes)
    if parts is not None:
        return await partial(
            request,
            parts,
            size_bytes=info.size_bytes,
            read=lambda part: generations.read(info, part),
            headers=headers,
            content_type=MEDIA_TYPE,
        )
    headers["Content-Length"] = str(info.size_bytes)
    body = iter(()) if request.method == "HEAD" else generations.read(info)
    return StreamingResponse(body, headers=headers, media_type=MEDIA_TYPE)


@router.post(
    "/{generation_id}/save",
    dependencies=[Depends(may_change_library), Depends(takes("application/json"))],
    responses=problems(400, 403, 404, 409, 413, 415, 422, 503),
)
async def save(
    generation_id: GenerationId, body: SaveResults, request: Request, *, generations: Generates, seen: ViewIfAny
) -> GenerationInfo:
    """Put finished pictures into a folder of the library. A search finds them when the answer is there."""
    saved = await generations.save(generation_id, body.folder, body.pictures, seen())
    return GenerationInfo.of(saved, request)
