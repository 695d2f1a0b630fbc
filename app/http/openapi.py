"""The OpenAPI document: documented errors for every route."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.http.problems import MEDIA_TYPE
from app.search.schemas import Problem

_REASONS = {
    400: "The picture or the body can't be read",
    404: "What was named does not exist",
    409: "An index run is going on",
    413: "Too large: the body, or the picture in bytes or pixels",
    415: "Unsupported content type or kind of picture",
    422: "A field is missing, unknown or out of range",
    500: "A bug on our side",
    503: "No index yet, object storage down, or too many requests; `Retry-After` says when to come back",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that may answer with these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _REASONS[status], "content": content} for status in (*statuses, 500)}


def describe(app: FastAPI) -> None:
    """Give the app an OpenAPI document in which the schema of problems is found."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = schema["components"]["schemas"]
            schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            _drop_default_422(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _drop_default_422(schema: dict[str, Any]) -> None:
    """FastAPI adds a 422 of its own shape to every route with parameters; ours are documented one by one."""
    for methods in schema["paths"].values():
        for operation in methods.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
