"""The OpenAPI document tells the truth: its examples are accepted, its errors are the ones that come."""

import json
from collections.abc import Iterator
from dataclasses import replace

import httpx2
import jsonschema
import pytest

from app.main import create_app
from app.settings import Settings
from app.types import image_id_of
from tests.support.captions import FakeCaptioner, lazily
from tests.support.generation import use_fake_generator
from tests.support.service import encoded, make_parts, picture, serving_parts

DOCUMENT = create_app(Settings()).openapi()
PROBLEM = {"schema": {"$ref": "#/components/schemas/Problem"}}


def operations() -> Iterator[tuple[str, str, dict]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def resolved(schema: dict) -> dict:
    return DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def body_schema(operation: dict, media_type: str) -> dict | None:
    content = operation.get("requestBody", {}).get("content", {}).get(media_type)
    if content is None:
        return None
    options = content["schema"].get("anyOf", [content["schema"]])
    return resolved(options[0])


JSON_EXAMPLES = [
    (method, path, example)
    for method, path, operation in operations()
    if (schema := body_schema(operation, "application/json"))
    for example in schema["examples"]
]
FORMS = [
    (path, schema) for _, path, operation in operations() if (schema := body_schema(operation, "multipart/form-data"))
]
NOT_SENT = ("url", "urls", "provider")
"""Fields of examples that lead to the internet."""


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A service of this module's own, for requests that change something."""
    with pytest.MonkeyPatch.context() as patch:
        generation = use_fake_generator(patch, tmp_path_factory.mktemp("generator") / "log.txt")
        parts = make_parts(tmp_path_factory.mktemp("bucket"), generation=generation)
        with serving_parts(replace(parts, captioner=lazily(FakeCaptioner()))) as client:
            yield client


def test_it_is_served_with_its_pages(client: httpx2.Client) -> None:
    assert client.get("/openapi.json").json() == json.loads(json.dumps(DOCUMENT))
    assert client.get("/docs").status_code == 200


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


def test_every_reference_leads_to_a_schema() -> None:
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert set(references(DOCUMENT)) <= known


def test_there_are_examples_for_every_json_body() -> None:
    with_bodies = {path for _, path, operation in operations() if body_schema(operation, "application/json")}
    assert {path for _, path, _ in JSON_EXAMPLES} == with_bodies
    assert len(FORMS) == 8


@pytest.mark.parametrize(("method", "path", "example"), JSON_EXAMPLES)
def test_examples_are_valid(method: str, path: str, example: dict) -> None:
    schema = body_schema(DOCUMENT["paths"][path][method], "application/json")
    jsonschema.validate(example, {**schema, "components": DOCUMENT["components"]})


@pytest.mark.parametrize(
    ("method", "path", "example"),
    [each for each in JSON_EXAMPLES if not any(name in each[2] for name in NOT_SENT) and "jobs" not in each[1]],
)
def test_examples_are_accepted(changing: httpx2.Client, method: str, path: str, example: dict) -> None:
    """Or the ids, the model or the job in them are not found, or relevance, which this service does not know."""
    key = "animals/cat1.jpg" if path.endswith("/caption") else "top.png"  # a person captions the other one
    answer = changing.request(method, filled(path, changing).replace("{image_id}", image_id_of(key)), json=example)
    named = {"image_ids", "model", "init", "pictures", "terms"} & example.keys()
    expected = (200, 202) if path == "/api/v1/generations" else (200,)
    assert answer.status_code in ((*expected, 201, 202, 404, 501) if named else expected), answer.text
    assert answer.json()


@pytest.mark.parametrize(("path", "schema"), FORMS)
def test_form_examples_are_accepted(changing: httpx2.Client, path: str, schema: dict) -> None:
    fields = {name: info["examples"][0] for name, info in schema["properties"].items() if "examples" in info}
    (name,) = (name for name, info in schema["properties"].items() if is_file(info))
    answer = changing.post(filled(path, changing), data=fields, files={name: ("a.png", encoded(picture("top.png")))})
    assert answer.status_code in (200, 201, 202), answer.text


def filled(path: str, service: httpx2.Client) -> str:
    """With the id of a session that has searched."""
    if "{session_id}" not in path:
        return path
    session_id = service.post("/api/v1/sessions").json()["session_id"]
    assert service.post(f"/api/v1/sessions/{session_id}/search", json={"query": "a dog"}).status_code == 200
    return path.replace("{session_id}", session_id)


def is_file(field: dict) -> bool:
    return field.get("items", field).get("format") == "binary"


@pytest.mark.parametrize(("path", "schema"), FORMS)
def test_forms_are_plain_enough_for_generators_and_for_swagger(path: str, schema: dict) -> None:
    """A form has no null, and Swagger fills a field without an example with the text "string"."""
    fields = schema["properties"]
    assert len([name for name, field in fields.items() if is_file(field)]) == 1, path
    for name, field in fields.items():
        assert field["type"] in ("string", "integer", "number", "boolean", "array"), name
        assert is_file(field) or field["examples"], name


def test_every_route_documents_its_errors_as_problems() -> None:
    """But for systems whose errors have another shape: of one, `status` is a word."""
    for _, path, operation in operations():
        if {"compat: image_backend", "compat: openai"} & set(operation["tags"]):
            continue
        failures = {status: spec for status, spec in operation["responses"].items() if int(status) >= 400}
        assert "500" in failures, path
        for spec in failures.values():
            assert spec["content"] == {"application/problem+json": PROBLEM}, path
    assert "HTTPValidationError" not in DOCUMENT["components"]["schemas"]


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        (
            "post",
            "/api/v1/search/text",
            {"200", "400", "404", "408", "410", "413", "415", "421", "422", "500", "501", "503"},
        ),
        (
            "post",
            "/api/v1/search/image",
            {"200", "400", "404", "408", "410", "413", "415", "421", "422", "500", "501", "503"},
        ),
        ("get", "/api/v1/folders", {"200", "421", "422", "500", "503"}),
        ("post", "/api/v1/index/jobs", {"202", "400", "408", "409", "413", "415", "421", "422", "500", "501"}),
        ("get", "/api/v1/images/{image_id}/original", {"200", "206", "304", "404", "416", "421", "500", "503"}),
        ("get", "/api/v1/images/{image_id}/explain", {"200", "304", "404", "421", "422", "500", "501", "503"}),
        ("get", "/api/v1/images", {"200", "400", "421", "422", "500", "503"}),
        ("post", "/api/demo_backend_v2/image_search/search", {"200", "400", "404", "408", "413", "421", "500", "503"}),
    ],
)
def test_the_documented_statuses(method: str, path: str, statuses: set[str]) -> None:
    documented = set(DOCUMENT["paths"][path][method]["responses"])
    assert statuses == documented


def test_operations_have_distinct_ids_and_say_what_they_do() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    assert all(operation["description"] for _, _, operation in operations())
