"""The OpenAPI document: the base of all schemas, and the documented errors of every route."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from app.http.problems import MEDIA_TYPE

_REFERENCE = "#/components/schemas/{model}"

_REASONS = {
    403: "The service is `READ_ONLY`, or a page of another site asks that `CORS_ORIGINS` does not name",
    400: "The picture or the body can't be read",
    404: "What was named does not exist",
    408: "The body came too slowly",
    409: "An index run is going on",
    410: "The state of the index that the pages show is gone: search again",
    413: "Too large: the body, or the picture in bytes or pixels",
    415: "Unsupported content type or kind of picture",
    416: "The file ends before the first byte that `Range` asks for; `Content-Range` says where",
    421: "The Host header names no host of this service (`ALLOWED_HOSTS`)",
    422: "A field is missing, unknown or out of range",
    500: "A bug on our side",
    501: "It needs a setting or an extra package that this service lacks; the message names it",
    503: "No index yet, object storage down, or too many requests; `Retry-After` says when to come back",
}


class Schema(BaseModel):
    """The base of everything that goes in or out under `/api/v1`."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Problem(BaseModel):
    """RFC 9457."""

    type: Annotated[str, Field(examples=["urn:image2search:problem:folder-not-found"])]
    title: Annotated[str, Field(examples=["No such folder"])]
    status: Annotated[int, Field(examples=[404])]
    detail: Annotated[str, Field(examples=["No indexed picture lies in the folder 'natur'. Did you mean 'nature'?"])]
    instance: Annotated[str, Field(examples=["/api/v1/search/text"])]
    request_id: Annotated[str, Field(examples=["2f1f0d5c6b0a4a3f9a1b6a8d3f0c9e21"])]
    errors: Annotated[list[dict[str, Any]] | None, Field(description="of a 422: where and what")] = None
    reasons: Annotated[list[str] | None, Field(description="of /health/ready")] = None


def utc(seconds: float) -> datetime:
    """Seconds since the epoch as the date that an answer shows (RFC 3339), which can't lie outside the years 1 to 9999.

    File systems can hold later dates, and earlier ones. They are shown as the last or first date that there is.
    """
    first, last = (limit.replace(tzinfo=UTC) for limit in (datetime.min, datetime.max))
    return datetime.fromtimestamp(min(max(seconds, first.timestamp()), last.timestamp() - 1), UTC)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that may answer with these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _REASONS[status], "content": content} for status in (*statuses, 421, 500)}


def bodies(**models: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra=` of a route that takes a body as JSON (`json`) or as a form (`form`)."""
    media = {"json": "application/json", "form": "multipart/form-data"}
    content = {media[name]: {"schema": _inlined(model)} for name, model in models.items()}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template=_REFERENCE)
    _mark_files({model.__name__: schema})
    return schema


def describe(app: FastAPI) -> None:
    """Make the app's OpenAPI document say what FastAPI's own leaves out."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = schema["components"]["schemas"]
            schemas["Problem"] = Problem.model_json_schema(ref_template=_REFERENCE)
            _gather_definitions(schema)
            _drop_default_422(schema)
            _mark_files(schemas)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _gather_definitions(schema: dict[str, Any]) -> None:
    """Move what the schemas of `bodies` refer to among the document's components, where references point at."""
    for methods in schema["paths"].values():
        for operation in methods.values():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                for name, definition in media["schema"].pop("$defs", {}).items():
                    schema["components"]["schemas"].setdefault(name, definition)


def _drop_default_422(schema: dict[str, Any]) -> None:
    """Remove the 422 that FastAPI adds to every route with parameters: ours have another schema."""
    for methods in schema["paths"].values():
        for operation in methods.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)


def _mark_files(schemas: dict[str, dict[str, Any]]) -> None:
    """Say that a field is a file in the words of OpenAPI 3.0 too: many generators of clients know no others."""
    for schema in schemas.values():
        fields = schema.get("properties", {}).values()
        for field in (*fields, *(each["items"] for each in fields if "items" in each)):
            if "contentMediaType" in field:
                field["format"] = "binary"
