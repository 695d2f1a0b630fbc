"""Errors to answers: one table from the AppError family to statuses, and RFC 9457 problem documents for all of them.

The text of a 5xx is written here, not where the error was raised: a client must not see internals.
"""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from asgi_correlation_id.context import correlation_id
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from app import errors

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:image2search:problem:"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one class of errors is answered. `detail` replaces the error's own sentence."""

    status: int
    name: str
    title: str
    detail: str | None = None


_NOT_READY = "No index is loaded that this service can search. GET /health/ready says why; try again later."
_STORAGE = "The object storage does not answer. Try again later."
_ARCHIVED = "The picture lies in an archive of the storage. Restore the object there, then ask again."
_COMPARING = "The pictures are being compared with each other. Ask again in a moment; it goes on meanwhile."
_VECTORS = "The vector server does not answer. Try again later."
_WEB_SEARCH = "The web search does not answer, or takes no more searches for now. Try again later."
_REWRITING = "The language model made no usable query, or not in time. Try again later."
_SESSIONS = "The search sessions can't be reached. They are not lost; try again later."

_SEND_FILE = "Send the picture as a file part with a filename: curl -F file=@picture.jpg"
_NO_FILE = (
    f"No file arrived. {_SEND_FILE}. If you did, the body was cut short, or its parts are not divided by the boundary "
    "that Content-Type names."
)
_SEND_OBJECT = "Send a JSON object with the header Content-Type: application/json"
_BAD_FORM = "Let the HTTP client write the form and its boundary: curl -F file=@picture.jpg"

TABLE: Mapping[type[errors.AppError], Kind] = {
    errors.AppError: Kind(500, "internal", "Internal error", "Something went wrong on our side. The log says what."),
    errors.InvalidInput: Kind(400, "invalid-input", "Invalid input"),
    errors.InvalidImage: Kind(400, "invalid-image", "Not a readable picture"),
    errors.ImageTooLarge: Kind(413, "too-large", "Too large"),
    errors.UnsupportedImageType: Kind(415, "unsupported-type", "Unsupported type"),
    errors.UrlRefused: Kind(400, "url-refused", "Address refused"),
    errors.InvalidCursor: Kind(400, "invalid-cursor", "Invalid cursor"),
    errors.ContentRefused: Kind(422, "content-refused", "Content refused"),
    errors.FetchFailed: Kind(422, "fetch-failed", "The picture could not be fetched"),
    errors.NotFound: Kind(404, "not-found", "Not found"),
    errors.ObjectNotFound: Kind(404, "object-not-found", "Picture is gone", "The picture is no longer in the storage."),
    errors.ObjectArchived: Kind(404, "object-archived", "Picture is archived", _ARCHIVED),
    errors.ImageNotFound: Kind(404, "image-not-found", "No such picture"),
    errors.FolderNotFound: Kind(404, "folder-not-found", "No such folder"),
    errors.JobNotFound: Kind(404, "job-not-found", "No such job"),
    errors.DeletionNotFound: Kind(404, "deletion-not-found", "No such deletion"),
    errors.DismissalNotFound: Kind(404, "dismissal-not-found", "No such dismissal"),
    errors.ModelNotFound: Kind(404, "model-not-found", "No such model"),
    errors.SessionNotFound: Kind(404, "session-not-found", "No such session"),
    errors.Conflict: Kind(409, "conflict", "Conflict"),
    errors.IndexBusy: Kind(409, "index-busy", "An index run is going on"),
    errors.PagesGone: Kind(410, "pages-gone", "These pages are gone"),
    errors.Unavailable: Kind(503, "unavailable", "Not available now", "The service can't do that right now."),
    errors.StorageUnavailable: Kind(503, "storage-unavailable", "Object storage not available", _STORAGE),
    errors.VectorStoreUnavailable: Kind(503, "vectors-unavailable", "Vector server not available", _VECTORS),
    errors.WebSearchUnavailable: Kind(503, "web-search-unavailable", "Web search not available", _WEB_SEARCH),
    errors.SessionStoreUnavailable: Kind(503, "sessions-unavailable", "Sessions not available", _SESSIONS),
    errors.RewriteFailed: Kind(503, "rewrite-failed", "The query was not rewritten", _REWRITING),
    errors.IndexNotReady: Kind(503, "index-not-ready", "No index yet", _NOT_READY),
    errors.IndexCorrupt: Kind(503, "index-not-ready", "No index yet", _NOT_READY),
    errors.IndexMismatch: Kind(503, "index-not-ready", "No index yet", _NOT_READY),
    errors.NotInstalled: Kind(501, "not-installed", "Not installed"),
    errors.NotConfigured: Kind(501, "not-configured", "Not configured"),
    errors.StillComparing: Kind(503, "still-comparing", "The pictures are being compared", _COMPARING),
    errors.Overloaded: Kind(503, "overloaded", "Too many requests are waiting", "Try again in a moment."),
}
"""Looked up by class, then by its bases."""


def current_request_id() -> str:
    """The id of the request that this code works for; `-` outside of a request."""
    return correlation_id.get() or "-"


def kind_of(error: errors.AppError) -> Kind:
    return next(TABLE[cls] for cls in type(error).__mro__ if cls in TABLE)


def reason_of(error: errors.AppError) -> str:
    """What a client may know of an error."""
    return kind_of(error).detail or str(error)


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    name: str | None = None,
    title: str | None = None,
    headers: Mapping[str, str] | None = None,
    **extensions: Any,
) -> Response:
    """A problem document. ASCII only: the caller's text may hold characters that UTF-8 can't encode."""
    phrase = HTTPStatus(status).phrase
    body = {
        "type": TYPE_PREFIX + (name or phrase.lower().replace(" ", "-")),
        "title": title or phrase,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "request_id": current_request_id(),
        **extensions,
    }
    return Response(json.dumps(body), status, headers, MEDIA_TYPE)


async def answer_app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.AppError)
    kind = kind_of(error)
    log_error(error, kind)
    detail = kind.detail or str(error)
    headers = retry_headers(error, kind)
    return problem(request, kind.status, detail, name=kind.name, title=kind.title, headers=headers)


def log_error(error: errors.AppError, kind: Kind) -> None:
    """One line about a 5xx, whose answer says less than the error does."""
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning(
            "%s: %s",
            type(error).__name__,
            error,
            exc_info=error if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR else None,
        )


def retry_headers(error: errors.AppError, kind: Kind) -> dict[str, str]:
    """Retry-After for what works again later."""
    if isinstance(error, errors.Unavailable):
        return {"Retry-After": str(error.retry_after_s)}
    return {"Retry-After": "5"} if kind.status == HTTPStatus.SERVICE_UNAVAILABLE else {}


async def answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _documented_methods(request)):
        error = HTTPException(error.status_code, error.detail, {"Allow": ", ".join(methods)})
    return problem(request, error.status_code, http_sentence(request, error), headers=error.headers)


def _documented_methods(request: Request) -> list[str]:
    """The methods that this address takes. The framework names only those of the first route that has it."""
    address = request.scope["path"].removeprefix(request.scope["root_path"])
    paths = request.app.openapi()["paths"]
    having = [path for path in paths if compile_path(path)[0].match(address)]
    if not having:
        return []
    methods = [method.upper() for method in paths[min(having, key=lambda path: path.count("{"))]]
    return [*methods, "HEAD"] if "GET" in methods else methods


async def answer_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    entries = validation_entries(error.errors())
    return problem(request, 422, validation_sentence(entries), title="Invalid request", errors=entries)


def answer_unexpected(request: Request) -> Response:
    """The answer to a bug. The caller gets the request id under which the log has the traceback."""
    kind = TABLE[errors.AppError]
    return problem(request, kind.status, kind.detail or "", name=kind.name, title=kind.title)


def validation_entries(found: Sequence[Any]) -> list[dict[str, Any]]:
    """Where each error is and what is wrong, never the value: it may be large, secret or not even text."""
    return [{"where": [str(part) for part in entry["loc"]], "message": _message(entry)} for entry in found]


def _message(entry: Mapping[str, Any]) -> str:
    """What is wrong. In our words, where the library's do not say what to do."""
    match entry["type"], tuple(entry["loc"]):
        case "json_invalid", (_, place):
            reason = entry.get("ctx", {}).get("error", "broken")
            return f"This is not JSON: {reason} (character {place}). Names and texts stand in double quotes."
        case (("missing" | "model_attributes_type" | "model_type" | "dict_type"), ("body",)):
            return f"{_SEND_OBJECT}."
        case "missing", ("body", "file"):
            return _NO_FILE
        case "value_error", ("body", "file"):
            return f"{_SEND_FILE}."
        case _:
            return str(entry["msg"]).removeprefix("Value error, ")


def validation_sentence(entries: list[dict[str, Any]]) -> str:
    return "; ".join(f"{'.'.join(entry['where'])}: {entry['message']}" for entry in entries[:5])


def http_sentence(request: Request, error: HTTPException) -> str:
    """The text of an error of the framework, with what to do."""
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return _unreadable_body(request, error)
    if error.detail != HTTPStatus(error.status_code).phrase:
        return str(error.detail)
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return f"There is nothing at {request.url.path}. {request.scope['root_path']}/docs lists what there is."
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = (error.headers or {}).get("Allow", "other methods")
            return f"{request.url.path} does not take {request.method}, but {allowed}."
        case _:
            return str(error.detail)


def _unreadable_body(request: Request, error: HTTPException) -> str:
    if not request.headers.get("content-type", "").lower().startswith("multipart/"):
        return _unreadable_json(error.__cause__)
    detail = str(error.detail)
    if "exceeded maximum size" in detail:  # of text, which a part without a filename is
        return f"{detail.rstrip('.')}. {_SEND_FILE}."
    return f"The form can't be read: {detail.rstrip('.')}. {_BAD_FORM}."


def _unreadable_json(reason: BaseException | None) -> str:
    """What Python's `json` says of a body that is no broken JSON, which is a 422."""
    match reason:
        case UnicodeDecodeError():
            return f"The body can't be read: it is not UTF-8. {_SEND_OBJECT}, in UTF-8."
        case RecursionError():
            return f"The body can't be read: it is nested too deeply. {_SEND_OBJECT}, in UTF-8."
        case ValueError():
            digits = f"{sys.get_int_max_str_digits():,} digits"
            return f"A whole number in the body has more than {digits}. Send one that its field takes."
        case _:
            return f"The body can't be read. {_SEND_OBJECT}, in UTF-8."


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(errors.AppError, answer_app_error)
    app.add_exception_handler(HTTPException, answer_http_exception)
    app.add_exception_handler(RequestValidationError, answer_invalid_request)
