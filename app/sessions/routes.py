"""/sessions: a search that remembers. POST makes one; /search, /refine, /undo and /reset change it."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path
from starlette.requests import Request
from starlette.responses import Response

from app.http.files import SAFE_HEADERS, picture_of
from app.http.openapi import bodies, problems
from app.http.requests import ViewSource, json_of, parsed, takes, takes_json_or_nothing, takes_no_parameters
from app.sessions.schemas import (
    SessionAnswer,
    SessionInfo,
    SessionRefine,
    SessionSearch,
    SessionSearchForm,
)
from app.sessions.service import Sessions
from app.sessions.session import MAX_PICTURES

MEDIA_TYPE = "image/webp"

LISTS = ("files", "upload_ids", "folders")
"""Fields of the form that may come several times."""


async def _sessions(request: Request) -> Sessions:
    return cast(Sessions, request.state.sessions)


Service = Annotated[Sessions, Depends(_sessions)]
SessionId = Annotated[str, Path(max_length=64, examples=["Jx0mC3tZ8a1b2c3d4e5f6g7h8i9j0kLm"])]

router = APIRouter(prefix="/sessions", tags=["sessions"], dependencies=[Depends(takes_no_parameters)])

_PROBLEMS = problems(400, 404, 408, 409, 413, 415, 422, 501, 503)


@router.post(
    "",
    status_code=201,
    dependencies=[Depends(takes_json_or_nothing)],
    responses=problems(415, 422, 503),
)
async def create_session(request: Request, response: Response, sessions: Service, view: ViewSource) -> SessionInfo:
    """Begin a session. Its id can't be guessed, and is deleted with its uploads after a while without requests."""
    session_id, session = await sessions.create(view())
    response.headers["Location"] = str(request.url_for("session", session_id=session_id))
    return SessionInfo.of(session_id, session, sessions.idle_s, request)


@router.head("/{session_id}", include_in_schema=False)
@router.get("/{session_id}", name="session", responses=problems(404, 422, 503))
async def session_info(session_id: SessionId, request: Request, sessions: Service, view: ViewSource) -> SessionInfo:
    """The uploads of a session, and its history."""
    session = await sessions.get(session_id, view())
    return SessionInfo.of(session_id, session, sessions.idle_s, request)


@router.delete("/{session_id}", status_code=204, responses=problems(404, 422, 503))
async def delete_session(session_id: SessionId, sessions: Service, view: ViewSource) -> Response:
    """End a session now. Nothing of it is kept."""
    await sessions.delete(session_id, view())
    return Response(status_code=204)


@router.post(
    "/{session_id}/search",
    dependencies=[Depends(takes("application/json", "multipart/form-data"))],
    openapi_extra=bodies(json=SessionSearch, form=SessionSearchForm),
    responses=_PROBLEMS,
)
async def search_in_session(
    session_id: SessionId, request: Request, sessions: Service, view: ViewSource
) -> SessionAnswer:
    """Look for something by words, by pictures, or by both, and remember it."""
    if request.headers["content-type"].lower().startswith("application/json"):
        asked = parsed(SessionSearch, await json_of(request)).search()
        return SessionAnswer.of(await sessions.search(session_id, asked, view()), request)
    async with request.form(max_files=MAX_PICTURES) as form:
        fields = {name: form.getlist(name) if name in LISTS else form[name] for name in form}
        asked = parsed(SessionSearchForm, fields).search()
        return SessionAnswer.of(await sessions.search(session_id, asked, view()), request)


@router.post("/{session_id}/refine", dependencies=[Depends(takes("application/json"))], responses=_PROBLEMS)
async def refine_search(
    session_id: SessionId, body: SessionRefine, request: Request, *, sessions: Service, view: ViewSource
) -> SessionAnswer:
    """Change the search by feedback in words, and by pictures of its answers that fit or do not fit."""
    return SessionAnswer.of(await sessions.refine(session_id, body.refinement(), view()), request)


@router.post("/{session_id}/undo", dependencies=[Depends(takes_json_or_nothing)], responses=_PROBLEMS)
async def undo_turn(session_id: SessionId, request: Request, sessions: Service, view: ViewSource) -> SessionAnswer:
    """Take back the last turn. The answer is that of the turn before it, searched again."""
    return SessionAnswer.of(await sessions.undo(session_id, view()), request)


@router.post(
    "/{session_id}/reset",
    dependencies=[Depends(takes_json_or_nothing)],
    responses=problems(404, 409, 415, 422, 503),
)
async def reset_session(session_id: SessionId, request: Request, sessions: Service, view: ViewSource) -> SessionInfo:
    """Forget the uploads and the history. The session stays."""
    session = await sessions.reset(session_id, view())
    return SessionInfo.of(session_id, session, sessions.idle_s, request)


@router.head("/{session_id}/uploads/{upload_id}", include_in_schema=False)
@router.get(
    "/{session_id}/uploads/{upload_id}",
    name="session_upload",
    response_class=Response,
    responses={**picture_of(MEDIA_TYPE), **problems(404, 422, 503)},
)
async def session_upload(
    session_id: SessionId,
    upload_id: Annotated[str, Path(max_length=64, examples=["5d1e0c9a7b3f2468"])],
    sessions: Service,
    view: ViewSource,
) -> Response:
    """The thumbnail of a picture that was sent."""
    data = await sessions.thumbnail(session_id, upload_id, view())
    return Response(data, media_type=MEDIA_TYPE, headers={**SAFE_HEADERS, "Cache-Control": "private, no-store"})
