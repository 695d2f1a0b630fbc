"""What may ask for a change: other programs and our own pages, but no page of another site."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi import Depends, FastAPI

from app.http.problems import add_error_handlers
from app.http.requests import takes_json_or_nothing
from app.main import create_app
from app.settings import ServerSettings, Settings
from app.types import image_id_of
from tests.support.service import KEYS, make_parts, serving, serving_parts

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def changing() -> Iterator[httpx2.Client]:
    app = FastAPI()
    add_error_handlers(app)

    @app.post("/change", dependencies=[Depends(takes_json_or_nothing)])
    async def change() -> None:
        pass

    with serving(app) as client:
        yield client


def origin_of(client: httpx2.Client) -> str:
    return f"http://{client.base_url.host}:{client.base_url.port}"


def test_a_program_may_send_nothing_at_all(changing: httpx2.Client) -> None:
    """`curl -X POST`."""
    assert changing.post("/change").status_code == 200
    assert changing.post("/change", json={}).status_code == 200


def test_our_own_pages_may_send_nothing_at_all(changing: httpx2.Client) -> None:
    origin = origin_of(changing)
    for headers in (
        {"sec-fetch-site": "same-origin", "origin": origin},
        {"sec-fetch-site": "none"},
        {"origin": origin},
    ):
        assert changing.post("/change", headers=headers).status_code == 200


def test_our_own_pages_behind_a_proxy_that_changes_the_host(changing: httpx2.Client) -> None:
    headers = {"sec-fetch-site": "same-origin", "origin": "https://photos.example"}
    assert changing.post("/change", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "null"},
        {"origin": "null"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "evil"},
        {"origin": ""},
    ],
)
def test_a_page_of_another_site_must_send_json(changing: httpx2.Client, headers: dict[str, str]) -> None:
    """For which a browser asks before, and is not allowed."""
    refused = changing.post("/change", headers=headers)
    assert refused.status_code == 415
    assert "application/json" in refused.json()["detail"]
    asked = changing.options("/change", headers={**headers, "access-control-request-method": "POST"})
    assert "access-control-allow-origin" not in asked.headers
    assert changing.post("/change", headers={**headers, **JSON}, content="{}").status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"),
        *("text/plain; application/json", "text/plain, application/json"),
    ],
)
def test_what_a_form_can_send_is_refused(changing: httpx2.Client, content_type: str) -> None:
    assert changing.post("/change", headers={"content-type": content_type}, content="{}").status_code == 415


def test_an_index_run_is_such_a_change(client: httpx2.Client) -> None:
    refused = client.post("/api/v1/index/jobs", headers={"sec-fetch-site": "cross-site"})
    assert refused.status_code == 415


CHANGES_NO_LIBRARY = (
    *("/api/v1/generations", "/api/v1/generations/{generation_id}"),
    *("/v1/embeddings", "/v1/images/generations"),
)
"""Routes that take a POST or DELETE and leave the library as it is."""


def test_a_read_only_service_changes_nothing(tmp_path: Path) -> None:
    """Every route that changes the library says so, and those that only look go on."""
    parts = make_parts(tmp_path, server=ServerSettings(read_only=True))
    image_id = image_id_of(KEYS[0])
    changing = [
        (method, path)
        for path, methods in create_app(Settings()).openapi()["paths"].items()
        for method in methods
        if method not in ("get", "head") and not re.search("search|/index/|/sessions", path)
        if path not in CHANGES_NO_LIBRARY
    ]
    assert len(changing) >= 8
    with serving_parts(parts) as client:
        for method, path in changing:
            filled = path.replace("{image_id}", image_id).replace("{deletion_id}", "x").replace("{dismissal_id}", "x")
            parameters = {} if path.startswith("/api/") else {"image_id": image_id, "image_url": "http://x/"}
            answer = client.request(method, filled, json={}, params=parameters)
            assert (answer.status_code, "READ_ONLY" in answer.text) == (403, True), (method, path, answer.text)
        assert client.get("/api/v1/images").json()["count"] == len(KEYS)
