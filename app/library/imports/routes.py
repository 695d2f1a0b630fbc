"""POST /images/import: add many pictures as a job. /images/import/{id}: ask how far it is, follow it, cancel it."""

import io
from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from app.catalog.view import View
from app.http.openapi import bodies, problems
from app.http.requests import (
    ViewIfAny,
    comes_from_own_pages,
    json_of,
    may_change_library,
    parsed,
    takes,
    takes_no_parameters,
)
from app.library.imports.job import Address, Import, SentFile, WebQuery
from app.library.imports.schemas import (
    MAX_FILES,
    ImportedItem,
    ImportFiles,
    ImportFromWeb,
    ImportInfo,
    ImportProgress,
)
from app.library.imports.service import Imports

RETRY_MS = 3000
"""After which a browser whose connection broke follows the import again, from the event that it saw last."""


async def _imports(request: Request) -> Imports:
    return cast(Imports, request.state.imports)


ImportJobs = Annotated[Imports, Depends(_imports)]


async def _found(import_id: str, imports: ImportJobs, seen: ViewIfAny) -> Import:
    return imports.get(import_id, seen())


Found = Annotated[Import, Depends(_found)]

router = APIRouter(prefix="/images/import", tags=["library"], dependencies=[Depends(takes_no_parameters)])


@router.post(
    "",
    status_code=202,
    dependencies=[
        Depends(may_change_library),
        Depends(takes("multipart/form-data", "application/json")),
        Depends(comes_from_own_pages),
    ],
    openapi_extra=bodies(json=ImportFromWeb, form=ImportFiles),
    responses=problems(400, 403, 404, 408, 413, 415, 422, 503),
)
async def start_import(request: Request, response: Response, imports: ImportJobs, seen: ViewIfAny) -> ImportInfo:
    """Add many pictures: sent files, addresses on the web, or what a search on the web finds. `Location` is the job."""
    with imports.receiving():
        if request.headers["content-type"].lower().startswith("application/json"):
            job = _start_from_web(imports, parsed(ImportFromWeb, await json_of(request)), seen())
        else:
            job = await _start_with_files(imports, request, seen())
    response.headers["Location"] = str(request.url_for("import_job", import_id=job.id))
    return ImportInfo.of(job)


def _start_from_web(imports: Imports, body: ImportFromWeb, seen: View | None) -> Import:
    if body.query is not None:
        imports.check_provider(body.provider)
        return imports.start(WebQuery(body.query, body.provider, body.count), body.folder, seen)
    return imports.start([Address(url) for url in body.urls or ()], body.folder, seen)


async def _start_with_files(imports: Imports, request: Request, seen: View | None) -> Import:
    """The import takes the files out of the form, which would close them with the request."""
    async with request.form(max_files=MAX_FILES) as form:
        fields = {name: form.getlist(name) if name == "files" else form[name] for name in form}
        sent = parsed(ImportFiles, fields)
        job = imports.start([SentFile(each.filename or "", each.file) for each in sent.files], sent.folder, seen)
        for each in sent.files:
            each.file = io.BytesIO()
        return job


@router.head("/{import_id}", include_in_schema=False)
@router.get("/{import_id}", name="import_job", responses=problems(404, 422))
async def import_job(job: Found) -> ImportInfo:
    """How far an import is, and what became of each picture."""
    return ImportInfo.of(job)


@router.delete("/{import_id}", dependencies=[Depends(may_change_library)], responses=problems(403, 404, 422))
async def cancel_import(import_id: str, imports: ImportJobs, seen: ViewIfAny) -> ImportInfo:
    """Cancel an import: it brings no further pictures, and those that are added stay. One that is over stays as it is.

    The answer comes when the pictures that were just being added are in.
    """
    return ImportInfo.of(await imports.cancel(import_id, seen()))


@router.get("/{import_id}/events", response_class=EventSourceResponse, responses=problems(404, 422))
async def import_events(
    job: Found,
    last_event_id: Annotated[
        str, Header(description="number of the last event that was seen; browsers send it when they connect again")
    ] = "",
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `picture` for each picture that has its outcome, `progress` with them, `done` at the end.

    A comment comes every 15 seconds, so that proxies keep the connection. Close it at `done`.
    """
    seen = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 9 else 0
    yield ServerSentEvent(event="progress", data=ImportProgress.of(job), retry=RETRY_MS)
    async for item in job.watch(seen):
        seen += 1
        yield ServerSentEvent(event="picture", data=ImportedItem.of(item), id=str(seen))
        yield ServerSentEvent(event="progress", data=ImportProgress.of(job))
    yield ServerSentEvent(event="done", data=ImportProgress.of(job))
