"""Errors of another system's routes: caught here, once, and answered in the words that its clients know."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.errors import AppError
from app.http.problems import (
    http_sentence,
    kind_of,
    log_error,
    reason_of,
    retry_headers,
    validation_entries,
    validation_sentence,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request is not answered as it asks, in the terms of our own API. Invalid parameters are a 400."""

    status: int
    sentence: str
    headers: Mapping[str, str] | None = None
    name: str | None = None
    """As `Kind.name`, for errors of ours."""
    found: Sequence[Any] = ()
    """What is wrong with the parameters, as `RequestValidationError.errors` says."""


Answer: TypeAlias = Callable[[Request, Failure], Response]


def route_class(answer: Answer) -> type[APIRoute]:
    """`route_class=` of a router whose errors are answered by `answer`."""

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_failures(request: Request) -> Response:
                try:
                    return await handle(request)
                except (RequestValidationError, HTTPException, AppError) as error:
                    return answer(request, _failure(request, error))

            return handle_failures

    return Route


def _failure(request: Request, error: RequestValidationError | HTTPException | AppError) -> Failure:
    if isinstance(error, RequestValidationError):
        found = error.errors()
        return Failure(400, validation_sentence(validation_entries(found)), found=found)
    if isinstance(error, HTTPException):
        return Failure(error.status_code, http_sentence(request, error), error.headers)
    kind = kind_of(error)
    log_error(error, kind)
    return Failure(kind.status, reason_of(error), retry_headers(error, kind), kind.name)
